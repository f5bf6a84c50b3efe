"""Why a machine should be stopped, and how sure that is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from pixel_lora_pipeline.train.auto_stop.policy import WARNED_AT, Policy
from pixel_lora_pipeline.train.auto_stop.reading import Look, Spent, State
from pixel_lora_pipeline.train.auto_stop.watch import Rule, Watch


@dataclass(frozen=True)
class Reasons:
    """Sentences by rule.

    Attributes
    ----------
    read
        What fresh readings say: a second look has to agree.
    certain
        What the clock and known rates alone say, whatever can be read: the hard cap.
    suspected
        What old readings say: nothing is stopped for it.
    warnings
        By limit, that most of it is used up.
    """

    read: Mapping[Rule, str]
    certain: Mapping[Rule, str]
    suspected: Mapping[Rule, str]
    warnings: Mapping[str, str]


def find_reasons(watch: Watch, look: Look, state: State, policy: Policy, now: datetime) -> Reasons:
    """The reasons to stop a machine that runs, or of which nobody knows whether it does.

    Parameters
    ----------
    state
        The machine's, `unknown` if the look is too old to count.
    """
    if state in ("stopped", "gone"):
        return Reasons({}, {}, {}, {})
    read: dict[Rule, str] = {}
    suspected: dict[Rule, str] = {}
    warnings: dict[str, str] = {}
    is_read = state == "running"
    seen = max(timedelta(0), now - watch.armed_at)
    elapsed = max(seen, look.machine.uptime or seen) if is_read else seen
    if watch.hours_limit is not None:
        hours = _hours(elapsed)
        sentence = f"It has been running for {hours:.2f} of {watch.hours_limit:g} hours."
        if hours >= watch.hours_limit:
            (read if is_read else suspected)["hours"] = sentence
        elif hours >= WARNED_AT * watch.hours_limit:
            warnings[f"hours {watch.hours_limit:g}"] = sentence
    for spent in look.spent:
        _judge_spending(spent, is_read and _is_fresh(spent, policy, now), read, suspected, warnings)
    if is_read and look.divergence is not None:
        read["diverged"] = look.divergence
    if is_read and look.verdict is not None:
        read[look.verdict.status] = look.verdict.reason
    return Reasons(read, _hard_cap(watch, look, seen, policy), suspected, warnings)


def stale_spending(look: Look, policy: Policy, now: datetime) -> Iterator[Spent]:
    """Amounts of budgets that are older than what counts, or not known."""
    for spent in look.spent:
        if spent.budget is not None and (spent.amount is None or not _is_fresh(spent, policy, now)):
            yield spent


def _judge_spending(
    spent: Spent,
    counts: bool,
    read: dict[Rule, str],
    suspected: dict[Rule, str],
    warnings: dict[str, str],
) -> None:
    if spent.share is None:
        return
    sentence = f"{spent.amount:.2f} of {spent.budget:.2f} US$ are spent ({spent.kind})."
    if spent.share >= 1:
        (read if counts else suspected)["budget"] = sentence
    elif spent.share >= Decimal(str(WARNED_AT)):
        warnings[f"budget {spent.budget:.2f}"] = sentence


def _is_fresh(spent: Spent, policy: Policy, now: datetime) -> bool:
    return now - spent.as_of <= policy.spending_fresh


def _hard_cap(watch: Watch, look: Look, seen: timedelta, policy: Policy) -> dict[Rule, str]:
    """Only by the database's clock, and by rates that two readings have confirmed: one reading decides nothing."""
    hours = _hours(seen)
    if watch.hours_limit is not None and hours >= policy.hard_cap * watch.hours_limit:
        return {"hard_cap": f"It was armed {hours:.2f} hours ago and has a limit of {watch.hours_limit:g}."}
    budgets = [each.budget for each in look.spent if each.budget is not None]
    if watch.usd_limit is not None:
        budgets.append(watch.usd_limit)
    if watch.highest_rate is None or not budgets:
        return {}
    most, budget = Decimal(str(hours)) * watch.highest_rate, min(budgets)
    if most < Decimal(str(policy.hard_cap)) * budget:
        return {}
    told = f"{hours:.2f} hours at {watch.highest_rate:.2f} US$ come to {most:.2f} US$, of a budget of {budget:.2f}."
    return {"hard_cap": told}


def _hours(duration: timedelta) -> float:
    return duration / timedelta(hours=1)
