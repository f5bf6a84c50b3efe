"""One training run over its epochs: when to stop, which epoch is best, and the reports that show why."""

from pathlib import Path
from typing import Any

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.analyze.metadata import convergence_metadata
from pixel_lora_pipeline.defs.execution import OWNERS, retry_transient_faults
from pixel_lora_pipeline.defs.partitions import training_runs
from pixel_lora_pipeline.defs.train.lineage_metadata import lineage_metadata
from pixel_lora_pipeline.defs.validate.assets import epoch_evaluation
from pixel_lora_pipeline.finer_looks import ask_for_finer_looks
from pixel_lora_pipeline.lineage import family
from pixel_lora_pipeline.run_analysis import conclude, verdict_on
from pixel_lora_pipeline.run_evaluations import read_run
from pixel_lora_pipeline.run_reports import write_epoch_report, write_run_report
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.validate import Suite


@dg.asset(
    partitions_def=training_runs,
    # Shown in the graph; which checkpoints belong to a run is known to the sensor and the database.
    deps=[dg.AssetDep(epoch_evaluation, partition_mapping=dg.AllPartitionMapping())],
    group_name="analyze",
    kinds={"pandas", "postgres"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def convergence(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[Any]:
    """Whether a training should go on and which epoch is its best, with how sure that is; issues epoch by epoch."""
    run_id = store.conclusions.run(context.partition_key).run_id
    measured_at = store.analyses.measured_at(run_id)  # first: what is measured from now on waits for the next analysis
    verdict = conclude(store, read_run(store, context.partition_key))
    if settings.depth.finer_where_undecided and verdict.best_epoch_interval is not None:
        ask_for_finer_looks(store, run_id, verdict.best_epoch_interval, verdict.probability_of_gain)
    store.analyses.finish(run_id, measured_at)
    return dg.MaterializeResult(metadata=convergence_metadata(verdict) | lineage_metadata(family(store, run_id)))


@dg.asset(
    partitions_def=training_runs,
    deps=[convergence, dg.AssetKey("diagnosis")],  # of a later step of the loop, but it is part of the page
    group_name="analyze",
    kinds={"html"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def epoch_report(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    store: dg.ResourceParam[Store],
    suite: dg.ResourceParam[Suite],
) -> dg.MaterializeResult[Any]:
    """A page for each epoch that was measured since its last one: verdict, pictures, evidence, how it was made."""
    run_id = store.conclusions.run(context.partition_key).run_id
    pages: dict[str, Path] = {}
    links: dict[str, str] = {}
    for epoch in store.analyses.unreported_epochs(run_id):
        evaluations = read_run(store, context.partition_key, epoch)
        pages[f"epoch_{epoch}"] = write_epoch_report(
            store,
            settings.home / "reports",
            evaluations,
            verdict=verdict_on(store, evaluations),
            categories=suite.categories(),
        )
        links[f"epoch_{epoch}_in_the_lab"] = f"/lab/reports/epoch/{evaluations.last.epoch_id}"
    return dg.MaterializeResult(
        metadata={
            "pages_written": dg.MetadataValue.float(float(len(pages))),
            **{name: dg.MetadataValue.path(page) for name, page in pages.items()},
            **{name: dg.MetadataValue.url(link) for name, link in links.items()},
        }
    )


@dg.asset(
    partitions_def=training_runs,
    deps=[epoch_report],
    group_name="analyze",
    kinds={"html"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def run_report(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    store: dg.ResourceParam[Store],
    suite: dg.ResourceParam[Suite],
) -> dg.MaterializeResult[Any]:
    """The run on one page: its course, its best epoch beside the baseline, all epochs against all prompts."""
    evaluations = read_run(store, context.partition_key)
    verdict = verdict_on(store, evaluations)
    page = write_run_report(
        store, settings.home / "reports", evaluations, verdict=verdict, categories=suite.categories()
    )
    return dg.MaterializeResult(
        metadata={
            "page": dg.MetadataValue.path(page),
            "figures": dg.MetadataValue.path(page.with_suffix(".json")),
            "page_in_the_lab": dg.MetadataValue.url(f"/lab/reports/run/{evaluations.run.run_id}"),
            "epoch_grid_in_the_lab": dg.MetadataValue.url(f"/lab/runs/{evaluations.run.run_id}/grid"),
        }
    )
