"""The search as a study of Optuna's that outlives every process: which run tried what, and what is being tried now."""

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from pixel_lora_pipeline.improve.observations import read_observations
from pixel_lora_pipeline.improve.search_space import (
    Choice,
    IntegerRange,
    Levels,
    LinearRange,
    LogRange,
    Parameter,
    Scalar,
    SearchSpace,
)

OPTUNA_SCHEMA: Final = "optuna"
# Attributes of trials.
_EXPERIMENT, _RUN = "experiment", "run"
_LOCK: Final = 0x7069786C6F7261  # "pixlora"; whoever changes a study holds it
# A study is asked now and then: a connection for it, and one that holds the lock.
_CONNECTIONS: Final[dict[str, Any]] = {"pool_size": 1, "max_overflow": 1, "pool_pre_ping": True}

Outcome = Literal["added", "updated", "unchanged"]


@dataclass(frozen=True)
class Recorded:
    """What became of a history in a study; names of runs.

    Attributes
    ----------
    added, updated, unchanged
        New to the study; known, with another result or none so far; known as they are.
    left_out
        Run → why it is no trial: it lies outside of the space, or something is not known of it.
    """

    added: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)
    unchanged: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


class SearchStudy:
    """A study in Optuna's tables, which have a schema of their own.

    A trial is never asked of Optuna and then left to somebody: it is written in one transaction, with its parameters
    and the experiment that it belongs to, so that a process that dies leaves nothing that `reconcile` does not find.
    (Optuna's heartbeat does not cover trials that are asked for, and a failed `ask` leaves one running for ever.)

    Optuna does not let a finished trial change. Where a result does, a newer trial of the same run takes its place:
    the newest is what counts. A study belongs to one search space; another space has another study, into which the
    history is read anew.

    Parameters
    ----------
    url
        Address of the Postgres database, for any driver. The object is not to be taken along into a forked process.
    space
        As in `suggest`.
    name
        Of the campaign; what identifies the metric and the space is added to it.
    metric, lower_is_better
        What is searched for.

    Raises
    ------
    ConnectionError
        If connections do not arrive in schema `optuna`.
    """

    def __init__(
        self,
        url: str,
        space: "SearchSpace | str | Path | Mapping[str, Any]",
        *,
        name: str = "pixel-lora",
        metric: str = "quality_score",
        lower_is_better: bool = False,
    ) -> None:
        self.space = SearchSpace.of(space)
        self.metric = metric
        self._distributions = {name: _distribution(each) for name, each in self.space.parameters.items()}
        address = make_url(url).set(drivername="postgresql+psycopg2")
        # Options that the address carries stay in force; only their search_path gives way. Nothing but our schema is
        # searched, for the domain's may hold an alembic_version of somebody else's.
        options = f"{address.query.get('options', '')} -csearch_path={OPTUNA_SCHEMA}".strip()
        connections = {**_CONNECTIONS, "connect_args": {"options": options}}
        self._engine = create_engine(address, **connections)
        with self._alone():
            self._ensure_schema()
            self._storage = optuna.storages.RDBStorage(
                address.render_as_string(hide_password=False), engine_kwargs=connections
            )
            self.study = optuna.create_study(
                storage=self._storage,
                study_name=f"{name}/{metric}/{_fingerprint(self.space)}",
                direction="minimize" if lower_is_better else "maximize",
                load_if_exists=True,
            )

    def __enter__(self) -> "SearchStudy":
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connections; without `with`, they are closed when the object is gone."""
        self._storage.remove_session()
        self._storage.engine.dispose()
        self._engine.dispose()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else changes a study meanwhile; the lock of a process that dies is gone with its connection."""
        with self._engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            yield

    def _ensure_schema(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {OPTUNA_SCHEMA}"))
            arrived = connection.execute(text("SELECT current_schema()")).scalar()
        if arrived != OPTUNA_SCHEMA:
            raise ConnectionError(
                f"a connection for Optuna arrives in schema {arrived}, not in {OPTUNA_SCHEMA}: a pooler drops the "
                "connection's options. Use the direct connection."
            )

    def add_history(self, history: pd.DataFrame) -> Recorded:
        """Make each run of a history a trial, once.

        Parameters
        ----------
        history
            As in `suggest`, with a column `run_name`. Runs without a result are passed over: those that are being
            run are trials already, if they were asked for here.

        Raises
        ------
        ValueError
            If runs have no names, or several have the same.
        """
        _check_names(history)
        observations = read_observations(self.space, history, self.metric)
        unreadable = {remark.run: remark.detail for remark in observations.remarks}
        recorded = Recorded()
        with self._alone():
            newest = self._newest(_RUN)
            for run, value, row in zip(
                observations.names, observations.values.tolist(), observations.rows, strict=True
            ):
                if run in unreadable:
                    recorded.left_out[run] = unreadable[run]
                else:
                    outcome = self._record(run, newest.get(run), self.space.canonical(row), value)
                    getattr(recorded, outcome).append(run)
        return recorded

    def _record(self, run: str, known: FrozenTrial | None, parameters: dict[str, Scalar], value: float) -> Outcome:
        if known is None:
            self._write({_RUN: run}, parameters, value)
            return "added"
        if self._parameters(known) != parameters:
            self._write({_RUN: run}, parameters, value)
            return "updated"
        return "updated" if self._settle(known, value) else "unchanged"

    def ask(self, experiment: str, parameters: Mapping[str, Any], run: str | None = None) -> int:
        """Say that an experiment is being run; the number of its trial.

        An experiment has one trial: asked for again, as after a crash, it has the same. It must be among the living
        before (see `reconcile`).

        Parameters
        ----------
        run
            Name that the training run will have in the history; the experiment's if it is left out.

        Raises
        ------
        ValueError
            If the parameters are outside of the space, or if the experiment is known with others.
        """
        configuration = self.space.canonical(parameters)
        with self._alone():
            known = self._newest(_EXPERIMENT).get(experiment)
            if known is None:
                self._write({_EXPERIMENT: experiment, _RUN: run or experiment}, configuration)
                return self._of(experiment).number
        if self._parameters(known) != configuration:
            raise ValueError(
                f"experiment {experiment} is trial {known.number} with {self._parameters(known)}, not with "
                f"{configuration}: another configuration is another experiment"
            )
        return known.number

    def tell(self, experiment: str, value: float) -> int:
        """Say what an experiment came to; the number of the trial that holds the result.

        A result may be told again, also if it is another by now, and if the experiment had been given up.

        Raises
        ------
        KeyError
            If the experiment was never asked for.
        ValueError
            If the value is no finite number: an experiment without a result has failed.
        """
        if not math.isfinite(value):
            raise ValueError(f"experiment {experiment} came to {value}: if it has no result, it failed")
        with self._alone():
            self._settle(self._of(experiment), value)
            return self._of(experiment).number

    def fail(self, experiment: str) -> int:
        """Say that an experiment came to nothing; the number of its trial. What has ended stays as it is.

        Raises
        ------
        KeyError
            If the experiment was never asked for.
        """
        with self._alone():
            trial = self._of(experiment)
            if trial.state == TrialState.RUNNING:
                self.study.tell(trial.number, state=TrialState.FAIL)
            return trial.number

    def reconcile(self, living: Collection[str]) -> list[int]:
        """Fail every trial that nobody will ever end; the numbers of those that were failed.

        Parameters
        ----------
        living
            The experiments that are being run or evaluated, and those about to be. A trial of no experiment has
            nobody either.
        """
        with self._alone():
            dead = [trial for trial in self._running() if trial.user_attrs.get(_EXPERIMENT) not in living]
            for trial in dead:
                self.study.tell(trial.number, state=TrialState.FAIL)
        return [trial.number for trial in dead]

    def with_running(self, history: pd.DataFrame) -> pd.DataFrame:
        """A history and, without results, the experiments that are being run: what `suggest` should know of."""
        known = set(history["run_name"]) if "run_name" in history else set()
        rows = [
            {"run_name": trial.user_attrs[_RUN], **self._parameters(trial)}
            for trial in self._running()
            if trial.user_attrs.get(_RUN) not in (None, *known)
        ]
        return pd.concat([history, pd.DataFrame(rows)], ignore_index=True) if rows else history

    def result(self, run: str) -> float | None:
        """What a run, or an experiment, came to; None if it has no result.

        Raises
        ------
        KeyError
            If the study knows no such run.
        """
        return (self._newest(_EXPERIMENT) | self._newest(_RUN))[run].value

    def _running(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    def _newest(self, attribute: str) -> dict[str, FrozenTrial]:
        """The trial that counts for each experiment, or for each run."""
        trials = self.study.get_trials(deepcopy=False)
        return {trial.user_attrs[attribute]: trial for trial in trials if attribute in trial.user_attrs}

    def _of(self, experiment: str) -> FrozenTrial:
        trial = self._newest(_EXPERIMENT).get(experiment)
        if trial is None:
            raise KeyError(f"experiment {experiment} is not in study {self.study.study_name}: ask for it first")
        return trial

    def _settle(self, trial: FrozenTrial, value: float) -> bool:
        """Give a trial its result; whether it had another, or none."""
        if trial.state == TrialState.COMPLETE and trial.value == value:
            return False
        if trial.state == TrialState.RUNNING:
            self.study.tell(trial.number, value)
        else:
            attributes = {key: trial.user_attrs[key] for key in (_EXPERIMENT, _RUN) if key in trial.user_attrs}
            self._write(attributes, self._parameters(trial), value)
        return True

    def _write(self, attributes: dict[str, str], parameters: Mapping[str, Scalar], value: float | None = None) -> None:
        """A new trial, running if it has no result yet."""
        self.study.add_trial(
            optuna.create_trial(
                state=TrialState.RUNNING if value is None else TrialState.COMPLETE,
                value=value,
                params={name: _to_optuna(self.space.parameters[name], cell) for name, cell in parameters.items()},
                distributions=self._distributions,
                user_attrs=attributes,
            )
        )

    def _parameters(self, trial: FrozenTrial) -> dict[str, Scalar]:
        return {name: _from_optuna(each, trial.params[name]) for name, each in self.space.parameters.items()}


def _check_names(history: pd.DataFrame) -> None:
    if not len(history):
        return
    if "run_name" not in history or history["run_name"].isna().any():
        raise ValueError("history needs a run_name in every row: by it a run is known to be in the study already")
    if twice := sorted(set(history["run_name"][history["run_name"].duplicated()])):
        raise ValueError(f"history has several runs named {', '.join(map(str, twice))}: keep one of each")


def _distribution(parameter: Parameter) -> BaseDistribution:
    """Levels by their number in the order: Optuna's samplers take them for equally spaced then."""
    match parameter:
        case Levels():
            return IntDistribution(0, len(parameter.levels) - 1)
        case IntegerRange():
            return IntDistribution(parameter.low, parameter.high)
        case LinearRange():
            return FloatDistribution(parameter.low, parameter.high)
        case LogRange():
            return FloatDistribution(parameter.low, parameter.high, log=True)
        case Choice():
            return CategoricalDistribution(parameter.choices)


def _to_optuna(parameter: Parameter, value: Scalar) -> Scalar:
    return parameter.levels.index(value) if isinstance(parameter, Levels) else value


def _from_optuna(parameter: Parameter, value: Any) -> Scalar:
    return parameter.levels[value] if isinstance(parameter, Levels) else parameter.read(value)


def _fingerprint(space: SearchSpace) -> str:
    return hashlib.sha256(space.model_dump_json().encode()).hexdigest()[:12]
