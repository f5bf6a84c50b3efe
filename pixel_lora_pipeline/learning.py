"""What is learnt from all runs together, from what is stored of them to what is stored of that."""

import pandas as pd

from pixel_lora_pipeline.learn import assess_parameters
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.training_history import CONFIGURATION, TrainingHistory


def assess_history(history: TrainingHistory) -> dict[str, pd.DataFrame]:
    """For each metric, the evidence of all runs about each parameter, as `assess_parameters` returns it."""
    return {
        metric: assess_parameters(history.runs, history.parameters, metric, replicate_of=CONFIGURATION)
        for metric in history.metrics
    }


def learn_evidence(store: Store, history: TrainingHistory) -> dict[str, pd.DataFrame]:
    """Assess the parameters anew and store the evidence in place of what was there."""
    evidence = assess_history(history)
    store.knowledge.record_evidence({metric: table.to_dict("records") for metric, table in evidence.items()})
    return evidence
