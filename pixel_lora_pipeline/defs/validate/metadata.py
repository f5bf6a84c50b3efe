"""What Dagster's UI shows of an evaluation: numbers that plot over the checkpoints, one sheet, tables."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from pixel_lora_pipeline.store import StoredImage


def images_metadata(images: Sequence[StoredImage]) -> dict[str, dg.MetadataValue]:
    """How many images there are, and what was odd about any of them."""
    odd = [
        dg.TableRecord({"prompt": image.prompt_id, "seed": image.seed, "warning": warning})
        for image in images
        for warning in image.warnings
    ]
    return {
        "images": dg.MetadataValue.float(float(len(images))),
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


def evaluation_metadata(metrics: Mapping[str, Any], sheet: bytes, sheet_path: str) -> dict[str, dg.MetadataValue]:
    """Every number of the rollup as a float, which Dagster plots per partition, and the contact sheet."""
    numbers = {
        f"{group}/{name}": dg.MetadataValue.float(float(value))
        for group in ("color_accuracy", "style_quality")
        for name, value in metrics[group].items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    if metrics["overall_score"] is not None:
        numbers["overall_score"] = dg.MetadataValue.float(float(metrics["overall_score"]))
    encoded = base64.b64encode(sheet).decode()
    return {
        **numbers,
        "contact_sheet": dg.MetadataValue.md(f"![contact sheet](data:image/png;base64,{encoded})"),
        "contact_sheet_file": dg.MetadataValue.path(sheet_path),
        "checkpoint": dg.MetadataValue.asset(dg.AssetKey("model_checkpoint")),
        "measurements_of_each_image": dg.MetadataValue.asset(dg.AssetKey("quantitative_metrics")),
        "quantitative_metrics": dg.MetadataValue.json(dict(metrics)),
    }


def _shown(value: Any) -> str | float:
    if value is None:
        return "cannot tell"
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
