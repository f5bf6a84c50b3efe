"""What a person should look at before a training goes on."""

import dagster as dg

from pixel_lora_pipeline.defs.analyze.assets import convergence
from pixel_lora_pipeline.run_analysis import silent_runs
from pixel_lora_pipeline.store import Store


@dg.asset_check(asset=convergence)
def training_is_worth_going_on(
    context: dg.AssetCheckExecutionContext, store: dg.ResourceParam[Store]
) -> dg.AssetCheckResult:
    """The training has neither reached a plateau nor passed its peak."""
    verdict = store.conclusions.verdict(store.conclusions.run(context.partition_key).run_id)
    return dg.AssetCheckResult(
        passed=not verdict["should_stop"],
        severity=dg.AssetCheckSeverity.WARN,
        description=verdict["reason"],
        metadata={"status": verdict["status"], "probability_of_gain": verdict["probability_of_gain"]},
    )


@dg.asset_check(asset=convergence)
def epochs_keep_coming(store: dg.ResourceParam[Store]) -> dg.AssetCheckResult:
    """No training that has epochs left takes much longer for the next one than for those before."""
    return silence_result(silent_runs(store))


def silence_result(silent: dict[str, float]) -> dg.AssetCheckResult:
    """The check's result for runs that have been silent for so many seconds."""
    listed = ", ".join(f"{name} for {seconds / 60:.0f} minutes" for name, seconds in sorted(silent.items()))
    return dg.AssetCheckResult(
        check_name="epochs_keep_coming",
        asset_key=convergence.key,
        passed=not silent,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Silent: {listed}. Look whether the training still runs." if silent else "No training is overdue",
        metadata={"silent_runs": len(silent)},
    )
