"""What is believed to cause a failure before any run is looked at; the rules are in `diagnosis_rules.toml`."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, NamedTuple

from pixel_lora_pipeline.learn.domain_priors import domain_rules
from pixel_lora_pipeline.learn.run_condition import holds
from pixel_lora_pipeline.train.run_query import Condition, parse_run_query
from pixel_lora_pipeline.train.taxonomy import taxonomy

# What a condition may ask for beside parameters.
EPOCH: Final = "epoch"
ISSUE_STATE: Final = "issue_state"
# Columns that measure a run as a whole: what an issue is told by if nothing else does, the best first.
OVERALL: Final = ("quality_score", "quality", "overall", "score")


@dataclass(frozen=True)
class DiagnosisRule:
    """A belief about why something fails.

    Attributes
    ----------
    issues
        What it explains: keys of `analyze.issues`.
    parameter
        That is to blame; None if nothing is, and the issue is normal at this epoch.
    condition
        On the run. True of runs that the rule is about.
    prior
        Probability that the parameter acts on the issue; without a parameter, that the issue goes away.
    cause
        In words; `{value}` stands for the parameter's value.
    to
        Value that is recommended; None if the rule knows none.
    wait_until
        First and last epoch by which the issue should be gone; only without a parameter.
    source
        Where it is written.
    """

    issues: tuple[str, ...]
    parameter: str | None
    condition: Condition
    prior: float
    cause: str
    to: Any
    wait_until: tuple[int, int] | None
    source: str

    def explains(self, value: Any) -> str:
        """The cause for a run with this value."""
        return self.cause.replace("{value}", _shown(value))

    def holds(self, run: Mapping[str, Any]) -> bool:
        """Whether the rule is about a run of these parameters."""
        return holds(self.condition, run)


@dataclass(frozen=True)
class IssueMetrics:
    """By which columns an issue is told, the best first."""

    lower: tuple[str, ...]
    higher: tuple[str, ...]


@dataclass(frozen=True)
class TellingMetric:
    """A column that tells an issue, and which of its values are good."""

    column: str
    higher_is_better: bool


@cache
def diagnosis_rules() -> tuple[DiagnosisRule, ...]:
    """Every written rule.

    Raises
    ------
    QueryError
        If a condition cannot be understood.
    """
    known = {*taxonomy(), *(rule.parameter for rule in domain_rules()), EPOCH, ISSUE_STATE}
    return tuple(
        DiagnosisRule(
            issues=tuple(rule["issues"]),
            parameter=rule.get("parameter"),
            condition=parse_run_query(rule["condition"], known),
            prior=rule["prior"],
            cause=rule["cause"],
            to=rule.get("to"),
            wait_until=tuple(rule["wait_until"]) if "wait_until" in rule else None,
            source=rule["source"],
        )
        for rule in _document()["rule"]
    )


@cache
def issue_metrics() -> dict[str, IssueMetrics]:
    """The columns of every issue."""
    return {
        key: IssueMetrics(tuple(metrics["lower"]), tuple(metrics["higher"]))
        for key, metrics in _document()["issues"].items()
    }


def rules_about(issues: frozenset[str]) -> tuple[DiagnosisRule, ...]:
    """The rules that explain one of the issues."""
    return tuple(rule for rule in diagnosis_rules() if not issues.isdisjoint(rule.issues))


def telling_metric(issue: str, columns: Iterable[str]) -> TellingMetric | None:
    """The column that tells an issue best; None if there is none."""
    found = [(place, len(column), column) for column in columns if (place := _place(issue, column)) is not None]
    if not found:
        return None
    place, _, column = min(found)
    return TellingMetric(column, place.higher_is_better)


def issues_told_by(metric: str) -> tuple[frozenset[str], bool]:
    """The issues that a column tells, and whether its higher values are the good ones.

    A column that tells no single issue may be due to any.
    """
    told = {key: place for key in issue_metrics() if (place := _place(key, metric)) is not None}
    if not told:
        return frozenset(issue_metrics()), True
    best = min(told.values())
    fits = (best.by_part, best.higher_is_better)
    return frozenset(key for key, it in told.items() if (it.by_part, it.higher_is_better) == fits), fits[1]


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("diagnosis_rules.toml").read_text(encoding="utf-8"))


class _Place(NamedTuple):
    """Where a column stands among those that tell an issue; the least tells it best."""

    by_part: bool
    higher_is_better: bool
    number: int


def _place(issue: str, column: str) -> _Place | None:
    metrics = issue_metrics()[issue]
    last = column.rpartition(".")[2].lower()
    for by_part in (False, True):
        for higher, names in ((False, metrics.lower), (True, metrics.higher)):
            for number, name in enumerate(names):
                if name in column.lower() if by_part else name == last:
                    return _Place(by_part, higher, number)
    return None


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
