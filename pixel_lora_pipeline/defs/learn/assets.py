"""All runs together: which parameters matter, why runs fail, which rules hold, and the report on all of it."""

from datetime import date, timedelta
from typing import Any

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.analyze.assets import convergence
from pixel_lora_pipeline.defs.execution import OWNERS, retry_transient_faults
from pixel_lora_pipeline.defs.learn.metadata import (
    diagnosis_metadata,
    evidence_metadata,
    principles_metadata,
    report_metadata,
)
from pixel_lora_pipeline.defs.partitions import training_runs
from pixel_lora_pipeline.learning import (
    assess_history,
    diagnose_run,
    learn_evidence,
    learn_principles,
    write_impact_report,
)
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.training_history import read_history

# As `eager`, but a training that was never judged must not keep all others from being learnt from for ever.
whenever_something_is_new = dg.AutomationCondition.eager().without(~dg.AutomationCondition.any_deps_missing())


@dg.asset(
    partitions_def=training_runs,
    deps=[convergence],
    group_name="learn",
    kinds={"pandas", "postgres"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def diagnosis(context: dg.AssetExecutionContext, store: dg.ResourceParam[Store]) -> dg.MaterializeResult[Any]:
    """Why a training has its issues, how sure that is, and what to change, with the past runs that say so."""
    return dg.MaterializeResult(
        metadata=diagnosis_metadata(diagnose_run(store, read_history(store), context.partition_key))
    )


@dg.asset(
    deps=[dg.AssetDep(convergence, partition_mapping=dg.AllPartitionMapping())],
    automation_condition=whenever_something_is_new,
    group_name="learn",
    kinds={"pandas", "postgres"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def parameter_evidence(store: dg.ResourceParam[Store]) -> dg.MaterializeResult[Any]:
    """Which training parameters act on which metric, how sure that is, and what cannot be told from these runs."""
    history = read_history(store)
    return dg.MaterializeResult(metadata=evidence_metadata(history, learn_evidence(store, history)))


@dg.asset(
    deps=[parameter_evidence],
    automation_condition=whenever_something_is_new,
    group_name="learn",
    kinds={"pandas", "postgres"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def general_principles(store: dg.ResourceParam[Store]) -> dg.MaterializeResult[Any]:
    """Rules that held up: stated by the evidence, confirmed by later runs, revoked when they fail."""
    history = read_history(store)
    return dg.MaterializeResult(metadata=principles_metadata(learn_principles(store, history, assess_history(history))))


class ReportPeriod(dg.Config):
    """What a report is about."""

    week_until: str | None = None
    """Last day of the week, YYYY-MM-DD, of a report that comes by itself; people are told of it. Else on demand."""


@dg.asset(
    deps=[general_principles],
    group_name="learn",
    kinds={"html", "matplotlib"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def parameter_impact_report(
    config: ReportPeriod, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[Any]:
    """What the parameters do, in words and charts: critical, secondary, not critical, and what cannot be told."""
    period = None
    if config.week_until is not None:
        last = date.fromisoformat(config.week_until)
        period = (last - timedelta(days=6), last)
    history = read_history(store)
    page = write_impact_report(store, settings.home / "reports", history, assess_history(history), period)
    return dg.MaterializeResult(metadata=report_metadata(page))
