"""How often each metric prefers the image that people prefer."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from scipy.stats import binomtest

from pixel_lora_pipeline.analyze.comparison import METRICS, Metric
from pixel_lora_pipeline.analyze.tested_image import TestedImage, measured

Preference: TypeAlias = tuple[TestedImage, TestedImage]
"""The image that people prefer, and the other one."""


@dataclass(frozen=True)
class MetricAgreement:
    """One metric.

    Attributes
    ----------
    n
        Pairs of which people prefer one image and of which the metric tells the two apart.
    agreed
        Of these, where it prefers the same.
    undecided
        Pairs of which people prefer one image, and whose images are equally good by the metric.
    share, interval
        Of agreement among `n`, 0-1, with its 95 % Wilson interval; None and (0, 1) without a pair.
    """

    key: str
    label: str
    n: int
    agreed: int
    undecided: int
    share: float | None
    interval: tuple[float, float]

    @property
    def is_informative(self) -> bool:
        """Whether it is sure, with 95 %, that the metric tells more than a coin, be it the reverse."""
        return not self.interval[0] <= 0.5 <= self.interval[1]


def metric_agreement(preferences: Iterable[Preference]) -> tuple[MetricAgreement, ...]:
    """Compare every metric with people's votes, in the order of `METRICS`.

    Images that were measured by different versions of the metrics do not compare and are left out.
    """
    comparable = [(one, other) for one, other in preferences if one.metrics_version == other.metrics_version]
    return tuple(_agreement(metric, comparable) for metric in METRICS)


def _agreement(metric: Metric, preferences: Iterable[Preference]) -> MetricAgreement:
    agreed = against = undecided = 0
    for preferred, other in preferences:
        better, worse = measured(preferred, metric.path), measured(other, metric.path)
        if better is None or worse is None:
            continue
        agreed += better > worse if metric.higher_is_better else better < worse
        against += better < worse if metric.higher_is_better else better > worse
        undecided += better == worse
    n = agreed + against
    interval = binomtest(agreed, n).proportion_ci(0.95, method="wilson") if n else None
    return MetricAgreement(
        key=metric.key,
        label=metric.label,
        n=n,
        agreed=agreed,
        undecided=undecided,
        share=agreed / n if n else None,
        interval=(0.0, 1.0) if interval is None else (float(interval.low), float(interval.high)),
    )
