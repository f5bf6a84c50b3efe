"""Runs by what is known of them: view `v_run_parameters`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.epochs import UnknownRunError
from pixel_lora_pipeline.store.values import jsonb
from pixel_lora_pipeline.train.parameter_difference import RunParameters
from pixel_lora_pipeline.train.run_query import Combination, Comparison, Condition, Membership, Missing, Value
from pixel_lora_pipeline.train.taxonomy import run_taxonomy

_RUNS: Final = """
    SELECT known.training_run_id AS run_id, known.run_name, run.run_date, known.quality_score, known.best_epoch,
           known.overall_verdict, known.parameters AS document, run.all_parameters::jsonb AS all_parameters,
           coalesce(run.parameter_sources::jsonb, '{}') AS sources,
           coalesce(run.parameters_missing::jsonb, '{}') AS missing
    FROM v_run_parameters known JOIN training_runs run ON run.id = known.training_run_id
"""
_NEWEST_FIRST: Final = "ORDER BY run.run_date DESC NULLS LAST, run.id DESC"


@dataclass(frozen=True)
class DescribedRun:
    """A run with everything that is known of it.

    Attributes
    ----------
    document
        Columns and parameters in one, as `v_run_parameters` has them.
    parameters
        The parameters among them.
    """

    run_id: RowId
    run_name: str | None
    run_date: datetime | None
    quality_score: Any
    best_epoch: int | None
    overall_verdict: str | None
    document: dict[str, Any]
    parameters: RunParameters


class Runs:
    """Training runs, found by their parameters and results."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def names(self) -> set[str]:
        """Every name that runs can be asked for: columns, parameters of the table, and what else a run has."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT DISTINCT jsonb_object_keys(all_parameters::jsonb) AS name FROM training_runs "
                "WHERE jsonb_typeof(all_parameters::jsonb) = 'object'"
            )
            used = {row["name"] for row in rows}
            columns = connection.execute(
                "SELECT attname AS name FROM pg_attribute "
                "WHERE attrelid = 'training_runs'::regclass AND attnum > 0 AND NOT attisdropped"
            )
            return used | {row["name"] for row in columns} | set(run_taxonomy())

    def find(self, condition: Condition | None = None) -> list[DescribedRun]:
        """The runs for which a condition is true, the newest first; all of them without one."""
        bound: list[Any] = []
        where = "true" if condition is None else _compiled(condition, bound)
        with self._database.connection() as connection:
            rows = connection.execute(f"{_RUNS} WHERE {where} {_NEWEST_FIRST}".encode(), bound).fetchall()
        return [_described(row) for row in rows]

    def get(self, run_name: str) -> DescribedRun:
        """A run by its name; of several (older tables may have them) the newest.

        Raises
        ------
        UnknownRunError
            If there is none of that name; says which there are.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                f"{_RUNS} WHERE run.run_name = %s {_NEWEST_FIRST} LIMIT 1",
                (run_name,),
            ).fetchone()
            if row is None:
                raise _unknown_run(connection, run_name)
        return _described(row)

    def training_palette(self, run_id: RowId) -> list[str] | None:
        """Colours of the pictures that a run was trained on, as #rrggbb; None if nobody has looked at them."""
        with self._database.connection() as connection:
            row = connection.execute("SELECT training_palette FROM training_runs WHERE id = %s", (run_id,)).fetchone()
        return None if row is None else row["training_palette"]

    def set_training_palette(self, run_id: RowId, colors: Sequence[str]) -> None:
        """Record the colours of the pictures that a run was trained on."""
        with self._database.connection() as connection:
            connection.execute("UPDATE training_runs SET training_palette = %s WHERE id = %s", (list(colors), run_id))


def _unknown_run(connection: psycopg.Connection[DictRow], run_name: str) -> UnknownRunError:
    rows = connection.execute("SELECT run_name FROM training_runs ORDER BY run_date DESC NULLS LAST, id DESC")
    known = ", ".join(str(row["run_name"]) for row in rows)
    return UnknownRunError(
        f"there is no training run {run_name!r}. "
        + (f"Known runs, newest first: {known}." if known else "There is none.")
    )


def _described(row: DictRow) -> DescribedRun:
    own = row["all_parameters"] if isinstance(row["all_parameters"], dict) else {}
    values = {name: value for name, value in row["document"].items() if name in own or name in run_taxonomy()}
    return DescribedRun(
        run_id=row["run_id"],
        run_name=row["run_name"],
        run_date=row["run_date"],
        quality_score=row["quality_score"],
        best_epoch=row["best_epoch"],
        overall_verdict=row["overall_verdict"],
        document=row["document"],
        parameters=RunParameters(values, row["sources"], row["missing"]),
    )


def _compiled(condition: Condition, bound: list[Any]) -> str:
    """A condition over `known.parameters`; its names and values are appended to what is bound to the placeholders."""
    match condition:
        case Combination(kind, parts):
            return "(" + f" {kind} ".join(_compiled(part, bound) for part in parts) + ")"
        case Missing(name, negated):
            return _is_known(name, bound) if negated else f"NOT {_is_known(name, bound)}"
        case Membership(name, values, True):
            known = _is_known(name, bound)
            return f"({known} AND NOT ({' OR '.join(_matches(name, '==', value, bound) for value in values)}))"
        case Membership(name, values, _):
            return f"({' OR '.join(_matches(name, '==', value, bound) for value in values)})"
        case Comparison(name, "!=", value):
            return f"({_is_known(name, bound)} AND NOT {_matches(name, '==', value, bound)})"
        case Comparison(name, operator, value):
            return _matches(name, "==" if operator == "=" else operator, value, bound)


def _is_known(name: str, bound: list[Any]) -> str:
    bound.append(name)
    return "(known.parameters ? %s)"


def _matches(name: str, operator: str, value: Value, bound: list[Any]) -> str:
    """A path condition: the name is quoted as JSON in the path, values are variables of it."""
    variables: dict[str, Value] = {"a": value}
    if isinstance(value, bool):  # older rows may have it as text
        variables |= {"b": str(value), "c": str(value).lower()}
        test = "@ == $a || @ == $b || @ == $c"
    elif isinstance(value, int | float):  # numbers that older rows have as text are numbers, too
        test = f"@.double() {operator} $a"
    else:
        test = f"@ {operator} $a"
    bound.extend((f"$.{json.dumps(name)} ? ({test})", jsonb(variables)))
    return "jsonb_path_exists(known.parameters, %s::jsonpath, %s)"
