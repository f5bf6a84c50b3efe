"""Parameters that are changed along with others, because they mean nothing by themselves."""

import math
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from pixel_lora_pipeline.improve.configuration import number_of

# Kohya scales what a layer learnt by alpha / rank: with another rank, the same alpha is another learning rate.
_ALPHA_OF: Final = {"network_dim": "network_alpha", "conv_dim": "conv_alpha"}
# Where no ratio is known, for it is the first time: half of the rank, as the roadmap has it (conv_dim 8, conv_alpha 4).
_USUAL_RATIO: Final = 0.5
_ROUNDING: Final = 1e-6


def with_followers(changes: Mapping[str, Any], base: Mapping[str, Any], runs: pd.DataFrame) -> dict[str, Any]:
    """Changes with those that belong to them: an alpha follows its rank, and the U-Net's rate the learning rate.

    An alpha does so where the rank was not used before, and where all runs kept the ratio. Where runs had several
    ratios, alpha is a parameter in its own right. The U-Net's rate, which replaces the learning rate, does so where
    both were the same.
    """
    whole = dict(changes)
    for rank, alpha in _ALPHA_OF.items():
        after, before = number_of(changes.get(rank)), number_of(base.get(rank))
        if after is None or after <= 0 or alpha in changes:
            continue
        if not before:
            known = _ratios(runs, "network_dim", "network_alpha") if rank == "conv_dim" else set()
            whole[alpha] = _whole(after * (known.pop() if len(known) == 1 else _USUAL_RATIO))
        elif (present := number_of(base.get(alpha))) is not None and len(_ratios(runs, rank, alpha)) <= 1:
            whole[alpha] = _whole(after * present / before)
    rate, unet_rate = number_of(base.get("learning_rate")), number_of(base.get("unet_lr"))
    if "learning_rate" in changes and "unet_lr" not in changes and rate is not None and rate == unet_rate:
        whole["unet_lr"] = changes["learning_rate"]
    return whole


def _ratios(runs: pd.DataFrame, rank: str, alpha: str) -> set[float]:
    if rank not in runs or alpha not in runs:
        return set()
    pairs = ((number_of(one), number_of(other)) for one, other in zip(runs[rank], runs[alpha], strict=True))
    return {round(other / one, 6) for one, other in pairs if one and other is not None}


def _whole(value: float) -> float:
    return round(value) if math.isclose(value, round(value), abs_tol=_ROUNDING) else value
