"""Which model to believe: the one that would have predicted the configurations best that it had not seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from pixel_lora_pipeline.improve.outcome_models import FEW_CAUSES, MEAN
from pixel_lora_pipeline.improve.partial_results import PARTS
from pixel_lora_pipeline.improve.process_average import Forecast
from pixel_lora_pipeline.learn.parameter_column import Floats

# By which share another model's error has to be smaller than that of the model of few causes. With 8 to 30
# configurations smaller differences are mostly chance, and whoever follows them predicts worse: see
# `benchmarks/prediction.py`, where the model of few causes alone does better than the smallest error.
CLEARLY_BETTER: Final = 0.2


@dataclass(frozen=True)
class ChosenModel:
    """A model, and what it is worth.

    Attributes
    ----------
    name
        Of the model.
    forecast
        What it says.
    skill
        1 - mean absolute error / that of the mean, over configurations that were left out and with a model that was
        chosen without them; 0 for the mean itself.
    """

    name: str
    forecast: Forecast
    skill: float


def choose_model(found: Mapping[str, Forecast], metric: Floats) -> ChosenModel:
    """Choose by leave-one-configuration-out error: few causes, unless another model is clearly better.

    Whoever picks the best of several models by their errors is too optimistic about the one picked. So the skill is
    that of the whole procedure: every outcome is predicted by the model that would have been picked by all the
    others. If that is no better than the mean, the mean it is.
    """
    names = list(found)
    errors = np.array([np.abs(found[name].left_out_mean - metric) for name in names])
    totals = errors.sum(axis=1)
    picked = names[_pick(totals, names)]
    honest = sum(errors[_pick(totals - errors[:, at], names), at] for at in range(len(metric)))
    of_mean = totals[names.index(MEAN)]
    skill = float(1 - honest / of_mean) if of_mean > 0 else 0.0
    if picked == MEAN or skill <= 0:
        return ChosenModel(MEAN, found[MEAN], 0.0)
    return ChosenModel(picked, found[picked], skill)


def _pick(totals: Floats, names: list[str]) -> int:
    best = int(np.argmin(totals))
    few = [at for at, name in enumerate(names) if name in (FEW_CAUSES, PARTS)]
    if not few:
        return best
    usual = min(few, key=lambda at: float(totals[at]))
    return best if totals[best] < (1 - CLEARLY_BETTER) * totals[usual] else usual
