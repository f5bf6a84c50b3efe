"""Python values as Postgres can hold them: header texts come from anywhere, measurements from NumPy."""

import json
import math
import numbers
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.types.json import Jsonb


def clean_text(text: str) -> str:
    """Replace what a Postgres text cannot hold (NUL, lone surrogates) by the replacement character."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\N{REPLACEMENT CHARACTER}")


def plain(value: Any) -> Any:
    """Reduce a value to what JSON knows.

    NumPy scalars become Python's, tuples become lists, and numbers that are not finite become None: JSON has
    no word for them, and a metric that could not be measured is stored as null.

    Raises
    ------
    TypeError
        If the value is neither text, number, truth value, None, mapping nor list.
    """
    if isinstance(value, str):
        return clean_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        number = float(value)
        return number if math.isfinite(number) else None
    if isinstance(value, Mapping):
        return {clean_text(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return plain(value.tolist())
    raise TypeError(f"{type(value).__name__} has no form in JSON: {value!r}")


def jsonb(value: Any) -> Jsonb:
    """Wrap a value as a JSONB parameter, see `plain`."""
    return Jsonb(plain(value))


def canonical_json(value: Any) -> str:
    """One text for one meaning: sorted keys, no spaces. For hashing."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def column_text(value: Any) -> str:
    """Write a value as a literal that Postgres reads as whatever type the column has.

    Whole floats lose their point (5.0 → 5), so that they also fit an integer column of an older database.
    """
    value = plain(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value)


def write_what_fits(
    connection: psycopg.Connection[Any], table: str, row_id: int | UUID, values: Mapping[str, Any]
) -> list[str]:
    """Set columns of one row, leaving out values that a column refuses, and return those columns' names.

    In a database that is older than we are, a column may be narrower than ours: an integer where we have a
    fraction, a list of allowed words, a length. None leaves a column as it is.
    """
    present = {column: column_text(value) for column, value in values.items() if value is not None}
    if not present or _set(connection, table, row_id, present):
        return []
    return [column for column, text in present.items() if not _set(connection, table, row_id, {column: text})]


def _set(connection: psycopg.Connection[Any], table: str, row_id: int | UUID, texts: Mapping[str, str]) -> bool:
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(column), sql.Placeholder(column)) for column in texts
    )
    statement = sql.SQL("UPDATE {} SET {} WHERE id = {}").format(
        sql.Identifier(table), assignments, sql.Placeholder("row_id")
    )
    try:
        with connection.transaction():
            connection.execute(statement, {**texts, "row_id": row_id})
    except (psycopg.DataError, psycopg.IntegrityError):
        return False
    return True
