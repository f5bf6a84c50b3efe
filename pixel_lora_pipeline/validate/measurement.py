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
from pixel_lora_pipeline.validate.expectation import Expectation
from pixel_lora_pipeline.validate.grid import Grid, find_grid, native_image
from pixel_lora_pipeline.validate.palette import Palette, extract_palette
from pixel_lora_pipeline.validate.style import Style, measure_style

METRICS_VERSION: Final = "1"
# Without a grid there is no native size: the picture is averaged down to at most this many cells a side, about
# the largest sprite that portraits are drawn as.
_CELLS_WITHOUT_GRID: Final = 64
# Pixels at least this opaque (of 255) show their colour, others what is behind them.
_OPAQUE: Final = 128
_LISTED_COLORS: Final = 16


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
        photorealism_score (100 - purity), dithering_quality, overall_style_score.
    overall_score : float or None
        Geometric mean of the two overall scores: neither perfect style in wrong colours nor the reverse
        scores well.
    grid : Grid
        The pixel grid; its `pixel_size` is None where there is none.
    evidence : dict
        What the scores rest on: native size, palette, colours found and expected, what could not be told.
    confidence : dict of str to float
        0-1 for grid, background, hair, and each accessory that could be told.
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
            },
            "evidence": _rounded(self.evidence, 4),
            "confidence": _rounded(self.confidence, 4),
            "metrics_version": self.version,
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> "ImageMeasurement":
        """The measurement that `to_dict` wrote, as precise as it was written."""
        grid = stored["grid"]
        return cls(
            color_accuracy=stored["color_accuracy"],
            style_quality=stored["style_quality"],
            overall_score=stored["overall_score"],
            grid=Grid(
                grid["pixel_size"],
                None if grid["phase"] is None else (grid["phase"][0], grid["phase"][1]),
                grid["coherence"],
                grid["off_grid_error"],
            ),
            evidence=stored["evidence"],
            confidence=stored["confidence"],
            version=stored["metrics_version"],
        )


def decode_png(png: bytes) -> NDArray[np.uint8]:
    """Pixels of an image file of any mode, uint8[H, W, 3], or [H, W, 4] where it has transparency."""
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA" if image.has_transparency_data else "RGB"))


def measure_image(image: NDArray[np.uint8], expectation: Expectation | None = None) -> ImageMeasurement:
    """Measure uint8[H, W, 3 or 4] against what its prompt names.

    Everything but sharpness is measured at native size, one value a cell of the pixel grid. Deterministic
    to the bit. Takes about 10 ms for 64 x 64 and 20 ms for 512 x 512 on one core.

    Raises
    ------
    ValueError
        If `image` is not uint8 of that shape, or is empty.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or image.size == 0:
        raise ValueError(
            f"cannot measure an array of shape {image.shape} and type {image.dtype}: "
            "expected uint8 of shape (height, width, 3 or 4). decode_png gives that for any image file"
        )
    expectation = expectation or Expectation()
    visible = _visible(image)
    grid = find_grid(visible)
    native = native_image(visible, grid) if grid.pixel_size is not None else _averaged_down(visible)
    rgb, opaque = native[..., :3], _opaque(native)
    palette = extract_palette(rgb, opaque)
    colors = measure_colors(oklab_of_rgb(rgb), palette, expectation)
    style = measure_style(visible[..., :3], grid, rgb, palette)
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
        style_quality={
            "edge_sharpness": style.edge_sharpness,
            "pixel_art_purity": style.pixel_art_purity,
            "color_palette_size": len(palette),
            "is_photorealistic": style.is_photorealistic,
            "photorealism_score": None if style.pixel_art_purity is None else 100.0 - style.pixel_art_purity,
            "dithering_quality": style.dithering_quality,
            "overall_style_score": overall_style,
        },
        overall_score=(
            None if overall_color is None or overall_style is None else (overall_color * overall_style) ** 0.5
        ),
        grid=grid,
        evidence=_evidence(palette, colors, style, expectation),
        confidence=_confidence(grid, colors),
    )


def _visible(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image with black behind what is transparent, so that invisible colours make no edges."""
    if image.shape[2] == 3:
        return image
    if image[..., 3].min() == 255:
        return image[..., :3]
    return np.where(image[..., 3:] >= _OPAQUE, image, np.uint8(0))


def _opaque(native: NDArray[np.uint8]) -> NDArray[np.bool_]:
    if native.shape[2] == 3:
        return np.ones(native.shape[:2], dtype=bool)
    return native[..., 3] >= _OPAQUE


def _averaged_down(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image in square blocks of whole pixels, each at its mean; what is left over at the end is cut off."""
    height, width = image.shape[:2]
    side = min(-(-max(height, width) // _CELLS_WITHOUT_GRID), height, width)
    rows, columns = height // side, width // side
    blocks = image[: rows * side, : columns * side].reshape(rows, side, columns, side, -1)
    return np.asarray(np.rint(blocks.mean(axis=(1, 3))), dtype=np.uint8)


def _evidence(palette: Palette, colors: ColorAccuracy, style: Style, expectation: Expectation) -> dict[str, Any]:
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
        "accessories": {
            name: {
                "presence": sighting.presence,
                "hex": sighting.hex,
                "surplus": sighting.surplus,
                "reason": sighting.reason,
            }
            for name, sighting in colors.sightings.items()
        },
        "purity_parts": dict(style.parts),
    }


def _confidence(grid: Grid, colors: ColorAccuracy) -> dict[str, float]:
    confidence = {"grid": grid.coherence if grid.pixel_size is not None else 1.0 - grid.coherence}
    if colors.background.main is not None:
        confidence["background"] = colors.background.border_share
    if colors.hair is not None:
        confidence["hair"] = colors.hair.dominance
    for name, sighting in colors.sightings.items():
        if sighting.presence is not None:
            confidence[name] = abs(sighting.presence - 50.0) / 50.0
    return confidence


def _rounded(value: Any, digits: int = 2) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item, digits) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item, digits) for item in value]
    return round(value, digits) if isinstance(value, float) else value
