"""What to run next: proposed, predicted, and queued for people to decide on."""

from typing import Any

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.execution import OWNERS, retry_transient_faults
from pixel_lora_pipeline.defs.improve.metadata import (
    calibration_metadata,
    proposals_metadata,
    queue_metadata,
    search_metadata,
    trade_offs_metadata,
)
from pixel_lora_pipeline.defs.learn.assets import general_principles, whenever_something_is_new
from pixel_lora_pipeline.improving import calibration, propose, queue_document, trade_offs, update_search
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.training_history import read_history


@dg.asset(
    deps=[general_principles],
    automation_condition=whenever_something_is_new,
    group_name="improve",
    kinds={"optuna", "postgres"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def hypotheses(settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]) -> dg.MaterializeResult[Any]:
    """Three to five experiments that are worth a training next, each with its reasons, expectations and price."""
    return dg.MaterializeResult(metadata=proposals_metadata(propose(store, read_history(store), settings.search_space)))


@dg.asset(
    deps=[hypotheses],
    automation_condition=whenever_something_is_new,
    group_name="improve",
    kinds={"postgres"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def experiment_queue(store: dg.ResourceParam[Store]) -> dg.MaterializeResult[Any]:
    """The experiments that were proposed, queued or are under way, in the order in which they would be started."""
    return dg.MaterializeResult(metadata=queue_metadata(store.experiments.all(), queue_document(store)))


@dg.asset(
    deps=[general_principles],
    automation_condition=whenever_something_is_new,
    group_name="improve",
    kinds={"pandas", "postgres"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def trial_predictions(store: dg.ResourceParam[Store]) -> dg.MaterializeResult[Any]:
    """How predictions of trainings turned out: whether they deserve to be believed."""
    return dg.MaterializeResult(metadata=calibration_metadata(calibration(store, read_history(store))))


@dg.asset(
    deps=[general_principles],
    automation_condition=whenever_something_is_new,
    group_name="improve",
    kinds={"optuna", "postgres"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def search_study(settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]) -> dg.MaterializeResult[Any]:
    """The search for a good configuration: the runs as trials, the best so far, and whether to go on."""
    return dg.MaterializeResult(
        metadata=search_metadata(update_search(store, read_history(store), settings.search_space))
    )


@dg.asset(
    deps=[general_principles],
    automation_condition=whenever_something_is_new,
    group_name="improve",
    kinds={"pandas", "matplotlib"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def run_trade_offs(store: dg.ResourceParam[Store]) -> dg.MaterializeResult[Any]:
    """Which runs are worth choosing when more than quality counts: the best, the knee, the cheapest acceptable."""
    return dg.MaterializeResult(metadata=trade_offs_metadata(trade_offs(read_history(store))))
