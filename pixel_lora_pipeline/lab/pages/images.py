"""Images by the hash of their content, and what was measured on them."""

from functools import lru_cache
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pixel_lora_pipeline.analyze.report.cells import cell_change, outline
from pixel_lora_pipeline.lab.page import store_of
from pixel_lora_pipeline.store import ExplainedImage, ImageStore, ImageStoreError, UnknownEpochError
from pixel_lora_pipeline.validate.measurement import ImageMeasurement, decode_png
from pixel_lora_pipeline.validate.overlay import overlay

_FOREVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}  # the name is the content
_KEPT_CHANGES: Final = 512


def image(request: Request) -> Response:
    """The file of a hash."""
    return Response(
        _png(store_of(request).image_files, request.path_params["sha256"]), media_type="image/png", headers=_FOREVER
    )


def explained(request: Request) -> Response:
    """An image with its prompt and all that was measured on it, as JSON."""
    found = _found(request)
    metrics = found.metrics or {}
    return JSONResponse(
        {
            "run": found.run_name,
            "epoch": found.epoch,
            "prompt_id": found.prompt_id,
            "prompt": found.prompt,
            "negative_prompt": found.negative_prompt,
            "seed": found.seed,
            "width": found.width,
            "height": found.height,
            "fault": found.fault,
            "warnings": found.warnings,
            "overall_score": metrics.get("overall_score"),
            "color_accuracy": metrics.get("color_accuracy"),
            "style_quality": metrics.get("style_quality"),
            "pixel_size": (metrics.get("grid") or {}).get("pixel_size"),
            "metrics_version": metrics.get("metrics_version"),
        }
    )


def explained_picture(request: Request) -> Response:
    """The picture that shows what an image's measurement rests on."""
    found = _found(request)
    if found.metrics is None:
        raise HTTPException(404, "This image was not measured.")
    try:
        measurement = ImageMeasurement.from_dict(found.metrics)
    except (KeyError, TypeError):
        raise HTTPException(404, "This image was measured by a version that kept no evidence.") from None
    pixels = decode_png(_png(store_of(request).image_files, found.sha256))
    return Response(overlay(pixels, measurement), media_type="image/png", headers={"Cache-Control": "no-store"})


def change(request: Request) -> Response:
    """What changed from one image to another, `?before=` and `?after=` their hashes, as JSON."""
    files = store_of(request).image_files
    before, after = request.query_params.get("before", ""), request.query_params.get("after", "")
    document = _change(files, before, after)
    return JSONResponse(document, headers=_FOREVER)


@lru_cache(_KEPT_CHANGES)
def _change(files: ImageStore, before: str, after: str) -> dict[str, Any]:
    found = cell_change(_png(files, before), _png(files, after))
    if found is None:
        return {"comparable": False}
    rows, columns = found.changed.shape
    return {
        "comparable": True,
        "rows": rows,
        "columns": columns,
        "outline": outline(found.changed),
        "changed": int(found.changed.sum()),
        "share": found.share,
        "new_colors": found.new_colors,
        "lost_colors": found.lost_colors,
    }


def _found(request: Request) -> ExplainedImage:
    try:
        return store_of(request).overview.image(request.path_params["image_id"])
    except UnknownEpochError as unknown:
        raise HTTPException(404, str(unknown)) from None


def _png(files: ImageStore, sha256: str) -> bytes:
    try:
        return files.read(sha256)
    except (ValueError, ImageStoreError) as missing:
        raise HTTPException(404, "There is no such image in the store.") from missing


routes = [
    Route("/images/{sha256}.png", image),
    Route("/api/images/{image_id}", explained),
    Route("/api/images/{image_id}/overlay.png", explained_picture),
    Route("/api/change", change),
]
