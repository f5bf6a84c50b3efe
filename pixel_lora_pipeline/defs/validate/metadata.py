"""What Dagster's UI shows of an evaluation: numbers that plot over the checkpoints, one sheet, tables."""

import base64
from collections.abc import Sequence
from typing import Any, Final

import dagster as dg

from pixel_lora_pipeline.store import StoredImage
from pixel_lora_pipeline.validate import Depth, Evaluation, MeasuredImage
from pixel_lora_pipeline.validate.measurement import decode_png
from pixel_lora_pipeline.validate.overlay import overlay

OVERLAY_LIMIT: Final = 100_000
"""Bytes. With the contact sheet beside it, an epoch's metadata stays below half a megabyte."""


def images_metadata(images: Sequence[StoredImage], depth: Depth, of_full_look: int) -> dict[str, dg.MetadataValue]:
    """How many images there are, what share of a full look they saved, and what was odd about any of them."""
    odd = [
        dg.TableRecord({"prompt": image.prompt_id, "seed": image.seed, "warning": warning})
        for image in images
        for warning in image.warnings
    ]
    return {
        "images": dg.MetadataValue.float(float(len(images))),
        "depth": dg.MetadataValue.text(depth),
        "share_saved": dg.MetadataValue.float(1.0 - len(images) / of_full_look),
        "images_with_warnings": dg.MetadataValue.float(float(sum(bool(image.warnings) for image in images))),
        "suite": dg.MetadataValue.text(images[0].suite_name if images else "none"),
        **({"warnings": dg.MetadataValue.table(odd)} if odd else {}),
    }


def measurements_metadata(images: Sequence[StoredImage]) -> dict[str, dg.MetadataValue]:
    """The measurements of each image, as a table."""
    records = [
        dg.TableRecord(
            {
                "prompt": image.prompt_id,
                "seed": image.seed,
                **{
                    name: _shown(value)
                    for group in ("color_accuracy", "style_quality")
                    for name, value in (image.metrics or {}).get(group, {}).items()
                },
            }
        )
        for image in images
    ]
    return {
        "images_measured": dg.MetadataValue.float(float(len(records))),
        "measurements": dg.MetadataValue.table(records) if records else dg.MetadataValue.text("none"),
    }


def evaluation_metadata(evaluation: Evaluation, sheet_path: str) -> dict[str, dg.MetadataValue]:
    """Every number of the rollup as a float, which Dagster plots per partition, and two pictures.

    The contact sheet shows all images, the overlay explains the measurement of the worst of them.
    """
    metrics, worst = evaluation.metrics, evaluation.worst
    numbers = {
        f"{group}/{name}": dg.MetadataValue.float(float(value))
        for group in ("color_accuracy", "style_quality")
        for name, value in metrics[group].items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    if metrics["overall_score"] is not None:
        numbers["overall_score"] = dg.MetadataValue.float(float(metrics["overall_score"]))
    semantic = metrics["semantic"]
    score = semantic["semantic_score"]
    explained = {} if worst is None else {"worst_image": picture(worst.prompt_id, _overlay(worst))}
    return {
        **numbers,
        "semantic_score": dg.MetadataValue.text(semantic["reason"]) if score is None else dg.MetadataValue.float(score),
        "contact_sheet": picture("contact sheet", evaluation.contact_sheet),
        "contact_sheet_file": dg.MetadataValue.path(sheet_path),
        **explained,
        "checkpoint": dg.MetadataValue.asset(dg.AssetKey("model_checkpoint")),
        "measurements_of_each_image": dg.MetadataValue.asset(dg.AssetKey("quantitative_metrics")),
        "quantitative_metrics": dg.MetadataValue.json(dict(metrics)),
    }


def _overlay(image: MeasuredImage) -> bytes:
    return overlay(decode_png(image.png), image.measurement, limit=OVERLAY_LIMIT)


def picture(name: str, png: bytes) -> dg.MarkdownMetadataValue:
    """A picture that Dagster's UI shows in place."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})")


def _shown(value: Any) -> str | float:
    if value is None:
        return "cannot tell"
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
