"""A run with epochs and images in the database, made in milliseconds."""

from collections.abc import Sequence
from typing import Any

from pixel_lora_pipeline.store import RowId, Store
from pixel_lora_pipeline_tests.store.test_images import a_png, an_image

PROMPTS = ("crown", "pink_hair_green_bg", "smile")
COLORS = ("#336699", "#ff69b4", "#ffd700", "#2e9e44", "#ab2f25", "#7d6000")


def rollup(score: float, prompts: Sequence[str] = PROMPTS) -> dict[str, Any]:
    return {
        "n_images": len(prompts),
        "overall_score": score,
        "color_accuracy": {"overall": score},
        "style_quality": {"overall": score},
        "intervals": {"overall_score": [score - 5, score + 5]},
        "prompts": {prompt: {"overall_score": score} for prompt in prompts},
    }


def add_run(store: Store, name: str, planned_epochs: int = 10) -> RowId:
    with store.database.connection() as connection:
        row = connection.execute(
            "INSERT INTO training_runs (run_name, status, planned_epochs, last_checkpoint_at) "
            "VALUES (%s, 'training', %s, now()) RETURNING id",
            (name, planned_epochs),
        ).fetchone()
    assert row is not None
    return row["id"]


def add_epoch(
    store: Store, run_id: RowId, epoch: int, score: float, prompts: Sequence[str] = PROMPTS, **image: Any
) -> RowId:
    """An evaluated epoch with an image of each prompt, of a colour of its own."""
    with store.database.connection() as connection:
        row = connection.execute(
            "INSERT INTO epoch_results (training_run_id, epoch_number, registered_at, evaluation_status) "
            "VALUES (%s, %s, now(), 'registered') RETURNING id",
            (run_id, epoch),
        ).fetchone()
    assert row is not None
    epoch_id: RowId = row["id"]
    store.images.add(epoch_id, [painted(prompt, epoch, **image) for prompt in prompts])
    store.epochs.record_evaluation(epoch_id, rollup(score, prompts))
    return epoch_id


def painted(prompt_id: str, number: int, **changes: Any) -> Any:
    color = COLORS[(number + len(prompt_id)) % len(COLORS)]
    described = {
        "prompt_id": prompt_id,
        "prompt": f"pixel art, {prompt_id}",
        "png": a_png(color),
        "fingerprint": {"base": "ab12", "prompt": prompt_id, "number": number},
    }
    return an_image(**{**described, **changes})
