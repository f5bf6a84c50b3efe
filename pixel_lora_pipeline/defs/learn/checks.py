"""How far what was learnt may be relied upon."""

from typing import Final

import dagster as dg

from pixel_lora_pipeline.defs.learn.assets import parameter_evidence
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.training_history import read_history

# Below, hardly any parameter can be told from chance: at eight runs the procedure finds a third of the major causes
# that were planted in simulated histories, at fifteen three fifths (benchmarks/evidence.py).
ENOUGH_RUNS: Final = 8


@dg.asset_check(asset=parameter_evidence)
def evidence_rests_on_enough_runs(store: dg.ResourceParam[Store]) -> dg.AssetCheckResult:
    """There are enough runs to tell parameters from chance."""
    runs = read_history(store).runs
    n_configurations = int(runs["configuration"].nunique())
    passed = n_configurations >= ENOUGH_RUNS
    return dg.AssetCheckResult(
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(runs)} runs of {n_configurations} configurations have ended"
        + ("" if passed else f": with fewer than {ENOUGH_RUNS}, what is shown is mostly what was believed before."),
        metadata={"n_runs": len(runs), "n_configurations": n_configurations},
    )
