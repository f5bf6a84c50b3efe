"""What Dagster loads, and that a person finds their way in it."""

import dagster as dg

from pixel_lora_pipeline.definitions import defs


def test_every_asset_can_be_understood_in_the_ui() -> None:
    specs = defs().resolve_all_asset_specs()
    assert {spec.key.to_user_string() for spec in specs} == {
        "model_checkpoint",
        "test_images",
        "quantitative_metrics",
        "epoch_evaluation",
        "convergence",
        "epoch_report",
        "run_report",
        "diagnosis",
        "parameter_evidence",
        "general_principles",
        "parameter_impact_report",
        "hypotheses",
        "experiment_queue",
        "trial_predictions",
        "search_study",
        "run_trade_offs",
        "caption_quality",
        "training_progress",
        "costs",
    }
    for spec in specs:
        assert spec.description, f"{spec.key} has no description"
        assert spec.group_name in ("train", "validate", "analyze", "learn", "improve"), (
            f"{spec.key} is in group {spec.group_name}"
        )
        assert spec.owners, f"{spec.key} has no owner"
        assert spec.kinds, f"{spec.key} has no kinds"


def test_only_generation_waits_for_the_gpu() -> None:
    pools = {
        asset.key.to_user_string(): asset.op.pool
        for asset in defs().assets or []
        if isinstance(asset, dg.AssetsDefinition) and asset.op.pool
    }
    assert pools == {"test_images": "gpu"}


def test_the_whole_project_validates() -> None:
    dg.Definitions.validate_loadable(defs())
