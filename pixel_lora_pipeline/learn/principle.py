"""A rule that held up over the runs, with everything that it rests on and that would end it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal

from pixel_lora_pipeline.learn.condition import Condition

Status = Literal["proposed", "soft", "hard", "revoked"]
Form = Literal["threshold", "trend", "peak", "level", "product", "trajectory"]

# Changes with whatever changes a status.
METHOD_VERSION: Final = "1"
# A principle needs to be this probable to be stated, and to become soft.
SURE: Final = 0.9
# Runs after it was stated that came out as it says.
CONFIRMATIONS: Final = 2
# Runs that broke it on purpose make it hard once they are this much more probable with it than without. If it made no
# difference, that would happen in about one case in twenty at most, however often one looks (Ville's inequality).
EXPERIMENT_ODDS: Final = 20.0
_MOST_NAMES: Final = 6  # in a sentence


@dataclass(frozen=True)
class RevocationRule:
    """What ends a principle, and what makes it no more than a proposal again.

    Attributes
    ----------
    demote_below, revoke_below
        Probability that its parameter acts.
    demote_share
        Counter-examples for each confirming run from which on it is not relied upon.
    counter_examples
        That end it, if the confirming runs are not more.
    """

    demote_below: float = 0.7
    revoke_below: float = 0.3
    demote_share: float = 0.5
    counter_examples: int = 2

    @property
    def sentence(self) -> str:
        """For a person."""
        return (
            f"Revoked below a probability of {self.revoke_below:g}, if the runs point the other way, if a run that "
            f"broke it on purpose did well, or after {self.counter_examples} counter-examples unless more runs confirm "
            f"it; back to proposed below {self.demote_below:g}, if its parameter cannot be told from another any more, "
            f"or with more than {self.demote_share:g} counter-examples for each confirming run."
        )

    def ends(self, principle: "Principle") -> str | None:
        """Why the principle is to be revoked, None if it is not."""
        against, by = len(principle.counter_examples), len(principle.confirming_runs)
        if principle.pip < self.revoke_below:
            return f"its probability fell to {principle.pip:.2f}"
        if principle.effect is not None and principle.effect <= 0:
            return "the runs point the other way by now"
        if principle.refuting_runs:
            return f"it was broken on purpose in {named(principle.refuting_runs)}, and nothing got worse"
        if against >= max(self.counter_examples, by):
            return f"{against} counter-examples ({named(principle.counter_examples)}) against {by} confirming runs"
        return None

    def weakens(self, principle: "Principle") -> str | None:
        """Why the principle is not to be relied upon, None if it may be."""
        against, by = len(principle.counter_examples), len(principle.confirming_runs)
        if principle.pip < self.demote_below:
            return f"its probability fell to {principle.pip:.2f}"
        if principle.aliases:
            return f"{principle.condition or principle.statement} cannot be told from {named(principle.aliases)}"
        if against > self.demote_share * by:
            return f"{against} counter-examples ({named(principle.counter_examples)}) against {by} confirming runs"
        return None


@dataclass(frozen=True)
class Resolution:
    """An issue that most runs lose by an epoch.

    Attributes
    ----------
    issue
        Its key, as "two_toned_hair".
    by_epoch
        From which on it is not seen any more.
    """

    issue: str
    by_epoch: int


@dataclass(frozen=True)
class Change:
    """A status that a principle got.

    Attributes
    ----------
    at, status, why
        When, which, and for what reason.
    by
        The person who decided it; None if the runs did.
    n_runs
        Runs with the metric that were known then.
    """

    at: datetime
    status: Status
    why: str
    by: str | None
    n_runs: int


@dataclass(frozen=True, kw_only=True)
class Principle:
    """A rule, and what it rests on.

    Attributes
    ----------
    id
        Made from what it says: metric and condition, or issue and epoch. The same rule has the same everywhere.
    statement
        As "network_dim ≤ 32 raises pixel_art_purity".
    form
        "threshold"; "trend", the lower half of what was tried against the upper; "peak"; "level", a name; "product" of
        parameters; "trajectory".
    metric
        On which it acts; the issue of a trajectory.
    lower_is_better
        Whether the metric should be low.
    condition
        Where it is good to be; None for a trajectory.
    resolution
        What a trajectory says; None for others.
    pip
        Posterior inclusion probability of its parameters. Of a trajectory, the probability that more than half of all
        runs do so.
    effect
        By how much the metric is better where the condition holds, in units of the metric; of a trajectory, the share
        of runs. None if it cannot be told.
    effect_low, effect_high
        95 % interval.
    aliases
        Parameters that its own cannot be told from.
    first_stated_at
        When it was first stated.
    known_runs
        Names of the runs known when it was stated; after a revocation, when it was stated again. Only other and later
        runs confirm it.
    confirming_runs, counter_examples
        Later runs whose result is at least three times as probable with the principle as without, or the reverse.
    breaking_runs, refuting_runs
        Later runs that broke it and were otherwise like a good run; those of them with which nothing got worse.
    experiment_odds
        How much more probable the results of `breaking_runs` are with the principle than without; at most 20 a run.
    evidence_runs
        Names of the runs that its probability rests on.
    revocation
        What ends it.
    changes
        Every status it ever had, the present one last.
    method_version
        Of the procedure.
    """

    id: str
    statement: str
    form: Form
    metric: str
    lower_is_better: bool
    condition: Condition | None = None
    resolution: Resolution | None = None
    pip: float = 0.0
    effect: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None
    aliases: tuple[str, ...] = ()
    first_stated_at: datetime
    known_runs: tuple[str, ...]
    confirming_runs: tuple[str, ...] = ()
    counter_examples: tuple[str, ...] = ()
    breaking_runs: tuple[str, ...] = ()
    refuting_runs: tuple[str, ...] = ()
    experiment_odds: float = 1.0
    evidence_runs: tuple[str, ...] = ()
    revocation: RevocationRule = RevocationRule()
    changes: tuple[Change, ...] = ()
    method_version: str = METHOD_VERSION

    @property
    def status(self) -> Status:
        """Proposed, soft (a search may lean to it), hard (a search must keep to it), or revoked."""
        return self.changes[-1].status

    @property
    def reason(self) -> str:
        """Of the present status."""
        return self.changes[-1].why

    @property
    def approved_by(self) -> str | None:
        """The person who made it hard; None if no person did, or if it is not hard any more."""
        return self.changes[-1].by if self.status == "hard" else None

    @property
    def parameters(self) -> tuple[str, ...]:
        """That it is about; none for a trajectory."""
        return () if self.condition is None else self.condition.parameters

    def holds_for(self, parameters: Mapping[str, Any]) -> bool | None:
        """Whether a configuration keeps to it; None where that is not known, and for a trajectory."""
        return None if self.condition is None else self.condition.holds_for(parameters)

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves no doubt that it is better so, or of a trajectory that most runs do so."""
        doubtful = 0.0 if self.condition is not None else 0.5
        return self.effect_low is not None and self.effect_low > doubtful

    def lacks(self) -> tuple[str, ...]:
        """What a proposed principle lacks to be soft, and a soft one to be hard; nothing for others."""
        if self.status == "soft":
            if self.condition is None:
                return ("the approval of a person",)
            return ("the approval of a person, or a run that breaks it and gets worse as it says",)
        if self.status != "proposed":
            return ()
        wanted = CONFIRMATIONS - len(self.confirming_runs)
        return tuple(
            text
            for text, is_lacking in (
                (f"a probability of {SURE:g} (it is {self.pip:.2f})", self.pip < SURE),
                (f"{wanted} more confirming run{'s' * (wanted > 1)}", wanted > 0),
                (f"runs that tell it from {named(self.aliases)}", bool(self.aliases)),
                ("a direction that is sure with 95 %", not self.is_clear),
                ("fewer counter-examples", self.revocation.weakens(self) is not None and not self.aliases),
            )
            if is_lacking
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values; `status`, `reason`, `parameters` and `approved_by` for reading along."""
        return {
            **asdict(self),
            "condition": None if self.condition is None else self.condition.to_dict(),
            "first_stated_at": self.first_stated_at.isoformat(),
            "changes": [{**asdict(change), "at": change.at.isoformat()} for change in self.changes],
            "revocation": {**asdict(self.revocation), "sentence": self.revocation.sentence},
            **{name: list(getattr(self, name)) for name in (*_NAMES, "parameters")},
            "status": self.status,
            "reason": self.reason,
            "approved_by": self.approved_by,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Principle":
        """What `to_dict` wrote.

        Raises
        ------
        ValueError
            If something is missing.
        """
        try:
            condition, resolution, rule = document["condition"], document["resolution"], document["revocation"]
            plain: dict[str, Any] = {name: document[name] for name in _PLAIN}
            names: dict[str, Any] = {name: tuple(document[name]) for name in _NAMES}
            return cls(
                **plain,
                **names,
                condition=None if condition is None else Condition.from_dict(condition),
                resolution=None if resolution is None else Resolution(**resolution),
                first_stated_at=datetime.fromisoformat(document["first_stated_at"]),
                revocation=RevocationRule(**{name: value for name, value in rule.items() if name != "sentence"}),
                changes=tuple(
                    Change(**{**change, "at": datetime.fromisoformat(change["at"])}) for change in document["changes"]
                ),
            )
        except KeyError as error:
            raise ValueError(f"a stored principle has no {error}: was it written by Principle.to_dict?") from error

    def changed(self, status: Status, why: str, at: datetime, n_runs: int, by: str | None = None) -> "Principle":
        """With another status; the ones before are kept."""
        return replace(self, changes=(*self.changes, Change(at, status, why, by, n_runs)))


_NAMES: Final = (
    *("aliases", "known_runs", "confirming_runs", "counter_examples"),
    *("breaking_runs", "refuting_runs", "evidence_runs"),
)
_PLAIN: Final = (
    *("id", "statement", "form", "metric", "lower_is_better"),
    *("pip", "effect", "effect_low", "effect_high", "experiment_odds", "method_version"),
)


def principle_id(metric: str, says: Mapping[str, Any]) -> str:
    """The same for the same rule."""
    content = json.dumps([metric, says], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def check_time(when: datetime) -> None:
    """Raises ValueError for a time without a time zone."""
    if when.tzinfo is None:
        raise ValueError(f"the time {when} has no time zone: give one, as datetime.now(UTC) does")


def named(names: Sequence[str]) -> str:
    """For a sentence; of many, the last ones."""
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return f"{len(names) - _MOST_NAMES} others, {', '.join(names[-_MOST_NAMES:])}"
