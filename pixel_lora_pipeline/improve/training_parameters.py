"""What a training is told: the parameters that all trainings of a campaign share, and those of an experiment."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pixel_lora_pipeline.improve.configuration import as_written, is_known
from pixel_lora_pipeline.improve.following_parameters import with_followers


def training_parameters(
    base: Mapping[str, Any], changes: Mapping[str, Any], unset: Mapping[str, Any]
) -> dict[str, Any]:
    """The whole configuration of a training, in Kohya's names.

    Parameters
    ----------
    base
        What is the same in all trainings; paths and switches may be among it.
    changes
        What an experiment sets. What belongs to it follows it (`with_followers`).
    unset
        Parameter → what the trainer does without it: at this value it is left out, for a rank of 0 is no rank.
    """
    whole = {**base, **with_followers(changes, base, pd.DataFrame([dict(base)]))}
    return {
        name: value
        for name, value in whole.items()
        if is_known(value) and not (name in unset and as_written(value) == as_written(unset[name]))
    }
