"""Principles about the epoch by which an issue is usually gone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from pixel_lora_pipeline.learn.issue_resolution import Course, share_gone, usual_resolutions
from pixel_lora_pipeline.learn.principle import Principle, Resolution, principle_id
from pixel_lora_pipeline.learn.run_history import RunHistory


@dataclass(frozen=True)
class IssueRules:
    """What the courses of issues say of principles, new and known.

    Attributes
    ----------
    courses
        Of every issue in every run that had it.
    history
        The runs.
    """

    courses: list[Course]
    history: RunHistory

    @property
    def n_runs(self) -> int:
        """Runs that had an issue."""
        return len({course.run for course in self.courses})

    def stated(self, now: datetime) -> Iterator[Principle]:
        """What the courses alone say by now, not yet with a status."""
        for resolution in usual_resolutions(self.courses):
            principle = self.refreshed(self._blank(resolution, now))
            if principle is not None:
                yield principle

    def refreshed(self, principle: Principle) -> Principle | None:
        """A principle with what the runs say of it now; None if no run does."""
        resolution = principle.resolution
        if resolution is None:
            return None
        own = [course for course in self.courses if course.issue == resolution.issue]
        share = share_gone(own, resolution.by_epoch)
        if share is None:
            return None
        later = {
            name
            for name, is_later in zip(self.history.names, self.history.later_than(principle.known_runs), strict=True)
            if is_later
        }
        gone_by = {course.run: course.is_gone_by(resolution.by_epoch) for course in own}
        told = [name for name in self.history.names if gone_by.get(name) is not None]
        return replace(
            principle,
            statement=f"{resolution.issue} resolves by epoch {resolution.by_epoch} in {share.mean:.0%} of runs",
            pip=share.majority,
            effect=share.mean,
            effect_low=share.low,
            effect_high=share.high,
            confirming_runs=tuple(name for name in told if name in later and gone_by[name]),
            counter_examples=tuple(name for name in told if name in later and not gone_by[name]),
            evidence_runs=tuple(told),
        )

    def _blank(self, resolution: Resolution, now: datetime) -> Principle:
        return Principle(
            id=principle_id(resolution.issue, {"by_epoch": resolution.by_epoch}),
            statement="",
            form="trajectory",
            metric=resolution.issue,
            lower_is_better=True,
            resolution=resolution,
            first_stated_at=now,
            known_runs=self.history.names,
        )
