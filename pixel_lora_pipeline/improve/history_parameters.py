"""Which columns of a history are parameters, where nobody says so."""

import re
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from pixel_lora_pipeline.learn.configurations import RUN_DATE
from pixel_lora_pipeline.train.taxonomy import chosen_parameters

# Replicates of a configuration differ in it: it tells runs apart, not what they are worth.
_SEED: Final = "seed"
# Columns that say which run it was, or what became of it, by a word of their name.
_NO_PARAMETER: Final = re.compile(
    r"(^|_)(id|name|date|time|created|updated|started|ended|status|verdict|notes?|parent|path|score|accuracy|quality|"
    r"purity|share|rating|metrics?|loss|best|reward|adherence|match|cost|hours|result|outcome|issues?)(_|$)"
)


def history_parameters(parameters: Mapping[str, Any], history: pd.DataFrame, metric: str) -> list[str]:
    """The parameters that runs are compared by, sorted.

    Those that `parameters` names, and the columns of `history` that are known as parameters which somebody chooses
    (`train.taxonomy.chosen_parameters`). If the history has no column that is known, it is about something else, and
    every column is taken whose name does not say that it identifies a run or is a result. A seed never counts: it is
    what replicates of one configuration differ in.

    Raises
    ------
    ValueError
        If `parameters` names the metric.
    """
    if metric in parameters:
        raise ValueError(f"{metric} is what is to be predicted and cannot be one of the parameters: leave it out")
    columns = [name for name in map(str, history.columns) if name != metric]
    known = chosen_parameters()
    found = {name for name in columns if name in known}
    if not found:
        found = {name for name in columns if not _NO_PARAMETER.search(name.lower())}
    return sorted({*parameters, *found} - {_SEED, RUN_DATE})
