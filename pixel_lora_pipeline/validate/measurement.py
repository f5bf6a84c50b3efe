"""One image and what it should show, to every number and the evidence behind it."""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixel_lora_pipeline.validate.color_accuracy import ColorAccuracy, measure_colors
from pixel_lora_pipeline.validate.colorspace import oklab_of_rgb
from pixel_lora_pipeline.validate.craft import Craft, count_patches, find_faults
from pixel_lora_pipeline.validate.dithering import find_dithering
from pixel_lora_pipeline.validate.expectation import Expectation
from pixel_lora_pipeline.validate.grid import Grid
from pixel_lora_pipeline.validate.native_view import NativeView, native_view
from pixel_lora_pipeline.validate.palette import Palette
from pixel_lora_pipeline.validate.palette_drift import PaletteDrift, palette_drift
from pixel_lora_pipeline.validate.region import runs_of
from pixel_lora_pipeline.validate.style import Style, measure_style

METRICS_VERSION: Final = "3"
_LISTED_COLORS: Final = 16
# Cells listed for each fault of craft.
LISTED_CELLS: Final = 64


@dataclass(frozen=True)
class ImageMeasurement:
    """Every number of one image; a score that cannot be told is None, never 0.

    Attributes
    ----------
    color_accuracy : dict
        background_accuracy, hair_color_accuracy, hair_is_two_toned, accessory_accuracy, color_purity_score,
        overall_color_accuracy; besides skin_accuracy and lips_accuracy. 0-100, or None.
    style_quality : dict
        edge_sharpness, pixel_art_purity, color_palette_size (a count), is_photorealistic,
        photorealism_score (100 - purity, less where the image is as rough as noise), dithering_quality,
        overall_style_score. Besides, where there is a grid: off_grid (percent of the edges that lie off a regular
        grid), orphan_pixels, jaggies and banding (counts at native size); and against a training palette:
        palette_drift (mean CIEDE2000) and off_palette (percent of the cells).
    overall_score : float or None
        Geometric mean of the two overall scores: neither perfect style in wrong colours nor the reverse
        scores well.
    grid : Grid
        The pixel grid; its `pixel_size` is None where there is none.
    evidence : dict
        What the scores rest on: native size, palette, colours found and expected, what could not be told, and
        `regions`: the cells of each region as runs, for `region.cells_of`. `craft` lists up to `LISTED_CELLS`
        cells [row, column] of each fault, in reading order.
    confidence : dict of str to float
        0-1 for grid, style, background, hair, and each accessory that could be told.
    version : str
        Of the metrics: numbers of different versions are not comparable.
    """

    color_accuracy: dict[str, Any]
    style_quality: dict[str, Any]
    overall_score: float | None
    grid: Grid
    evidence: dict[str, Any]
    confidence: dict[str, float]
    version: str = METRICS_VERSION

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values, scores rounded to two decimals."""
        return {
            "color_accuracy": _rounded(self.color_accuracy),
            "style_quality": _rounded(self.style_quality),
            "overall_score": _rounded(self.overall_score),
            "grid": {
                "pixel_size": _rounded(self.grid.pixel_size, 4),
                "phase": _rounded(self.grid.phase, 4),
                "coherence": _rounded(self.grid.coherence, 4),
                "off_grid_error": _rounded(self.grid.off_grid_error, 4),
                "off_grid_share": _rounded(self.grid.off_grid_share, 4),
                "cell": _rounded(self.grid.cell, 4),
                "lines": _rounded(self.grid.lines),
            },
            "evidence": _rounded(self.evidence, 4),
            "confidence": _rounded(self.confidence, 4),
            "metrics_version": self.version,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "ImageMeasurement":
        """The measurement that `to_dict` wrote, as precise as it was written."""
        return cls(
            color_accuracy=stored["color_accuracy"],
            style_quality=stored["style_quality"],
            overall_score=stored["overall_score"],
            grid=_stored_grid(stored["grid"]),
            evidence=stored["evidence"],
            confidence=stored["confidence"],
            version=stored["metrics_version"],
        )


def decode_png(png: bytes) -> NDArray[np.uint8]:
    """Pixels of an image file of any mode, uint8[H, W, 3], or [H, W, 4] where it has transparency."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def measure_image(
    image: NDArray[np.uint8],
    expectation: Expectation | None = None,
    training_palette: NDArray[np.uint8] | None = None,
) -> ImageMeasurement:
    """Measure uint8[H, W, 3 or 4] against what its prompt names, and the colours of its training images.

    Everything but sharpness is measured at native size, one value a cell of the pixel grid. Deterministic
    to the bit. Takes about 8 ms for 64 x 64, 15 ms for 512 x 512 and 30-50 ms for 2048 x 2048 on one core.
    `training_palette` is uint8[k, 3] in sRGB.

    Raises
    ------
    ValueError
        If `image` is not uint8 of that shape, or is empty.
    """
    return measure_view(native_view(image), expectation, training_palette)


def measure_view(
    view: NativeView,
    expectation: Expectation | None = None,
    training_palette: NDArray[np.uint8] | None = None,
) -> ImageMeasurement:
    """Measure an image of which the native size is known; see `measure_image`."""
    expectation = expectation or Expectation()
    grid, palette = view.grid, view.palette
    colors = measure_colors(oklab_of_rgb(view.rgb), palette, expectation)
    dithering = find_dithering(palette)
    style = measure_style(view.visible[..., :3], grid, view.rgb, palette, dithering.quality)
    craft = find_faults(palette, dithering.cells) if grid.pixel_size is not None else None
    overall_color, overall_style = colors.overall, style.overall_style_score
    return ImageMeasurement(
        color_accuracy={
            "background_accuracy": colors.background_accuracy,
            "hair_color_accuracy": colors.hair_color_accuracy,
            "hair_is_two_toned": colors.hair_is_two_toned,
            "accessory_accuracy": colors.accessory_accuracy,
            "skin_accuracy": colors.skin_accuracy,
            "lips_accuracy": colors.lips_accuracy,
            "color_purity_score": colors.color_purity_score,
            "overall_color_accuracy": overall_color,
        },
        style_quality=_style_quality(style, grid, palette, craft, palette_drift(palette, training_palette)),
        overall_score=(
            None if overall_color is None or overall_style is None else (overall_color * overall_style) ** 0.5
        ),
        grid=grid,
        evidence=_evidence(palette, colors, style, craft, expectation),
        confidence=_confidence(grid, style, colors),
    )


def _stored_grid(stored: Mapping[str, Any]) -> Grid:
    """The grid of `to_dict`; the first version stored four numbers of it."""
    size, phase, cell, lines = (stored.get(key) for key in ("pixel_size", "phase", "cell", "lines"))
    return Grid(
        size,
        None if phase is None else (phase[0], phase[1]),
        stored["coherence"],
        stored["off_grid_error"],
        stored.get("off_grid_share"),
        (cell[0], cell[1]) if cell is not None else None if size is None else (size, size),
        None if lines is None else (tuple(lines[0]), tuple(lines[1])),
    )


def _style_quality(
    style: Style, grid: Grid, palette: Palette, craft: Craft | None, drift: PaletteDrift | None
) -> dict[str, Any]:
    return {
        "edge_sharpness": style.edge_sharpness,
        "pixel_art_purity": style.pixel_art_purity,
        "color_palette_size": len(palette),
        "is_photorealistic": style.is_photorealistic,
        "photorealism_score": style.photorealism_score,
        "dithering_quality": style.dithering_quality,
        "overall_style_score": style.overall_style_score,
        "off_grid": None if grid.off_grid_share is None else 100.0 * grid.off_grid_share,
        "orphan_pixels": None if craft is None else int(craft.orphans.sum()),
        "jaggies": None if craft is None else count_patches(craft.jaggies),
        "banding": None if craft is None else count_patches(craft.bands),
        "palette_drift": None if drift is None else drift.mean_delta_e,
        "off_palette": None if drift is None else 100.0 * drift.share_outside,
    }


def _evidence(
    palette: Palette, colors: ColorAccuracy, style: Style, craft: Craft | None, expectation: Expectation
) -> dict[str, Any]:
    main, hair = colors.background.main, colors.hair
    return {
        "native_size": list(palette.labels.shape),
        "palette": [
            {"hex": palette.hex(i), "share": float(palette.shares[i])} for i in range(min(len(palette), _LISTED_COLORS))
        ],
        "expected": expectation.to_dict(),
        "background": {
            "hex": None if main is None else palette.hex(main),
            "share": float(colors.background.cells.mean()),
        },
        "hair": []
        if hair is None
        else [{"hex": palette.hex(tone.colors[0]), "share": tone.share} for tone in hair.tones],
        "skin": None if colors.skin is None else palette.hex(colors.skin),
        "lips": None if colors.lips is None else palette.hex(colors.lips),
        "accessories": {
            name: {
                "presence": sighting.presence,
                "hex": sighting.hex,
                "surplus": sighting.surplus,
                "reason": sighting.reason,
            }
            for name, sighting in colors.sightings.items()
        },
        "regions": {name: runs_of(cells) for name, cells in colors.regions.items()},
        "purity_parts": dict(style.parts),
        "craft": None
        if craft is None
        else {
            "orphan_pixels": _listed(craft.orphans),
            "jaggies": _listed(craft.jaggies),
            "banding": _listed(craft.bands),
        },
    }


def _listed(cells: NDArray[np.bool_]) -> list[list[int]]:
    """The first cells of a mask, as [row, column]."""
    return np.argwhere(cells)[:LISTED_CELLS].tolist()  # type: ignore[no-any-return]


def _confidence(grid: Grid, style: Style, colors: ColorAccuracy) -> dict[str, float]:
    confidence = {"grid": grid.coherence if grid.pixel_size is not None else 1.0 - grid.coherence}
    if style.confidence is not None:
        confidence["style"] = style.confidence
    if colors.background.main is not None:
        confidence["background"] = colors.background.border_share
    if colors.hair is not None:
        confidence["hair"] = colors.hair.dominance
    for name, sighting in colors.sightings.items():
        if sighting.presence is not None:
            confidence[name] = sighting.trust * abs(sighting.presence - 50.0) / 50.0
    return confidence


def _rounded(value: Any, digits: int = 2) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, digits) for item in value]
    return round(value, digits) if isinstance(value, float) else value
