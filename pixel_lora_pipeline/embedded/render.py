"""Paints a portrait twice from one geometry: as a soft, shaded, photograph-like picture and as pixel art.

All shapes are described by signed distances on a 32×32 grid of sprite cells (negative inside), so both styles
show the same character. The pixel style decides each cell once, hard; the soft style evaluates the shapes
finely, shades them like a lit surface, and softens the result.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, gaussian_filter

from pixel_lora_pipeline.embedded.portrait import ACCESSORY_COLORS, Portrait

SPRITE_CELLS: Final = 32
IMAGE_SIZE: Final = 64

Field = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SUPERSAMPLING: Final = 2
_OUTLINE_DARKNESS: Final = 0.28
_LIP_COLOR: Final = "#b3434a"
_TEETH_COLOR: Final = "#fbf7ee"
_EYE_COLOR: Final = "#20222c"
_GEM_COLOR: Final = "#1fa6a0"


def render_pixel(portrait: Portrait) -> NDArray[np.uint8]:
    """Pixel art: flat colours, one shadow tone, dark outline, every 2×2 block one cell.

    Returns
    -------
    uint8 array (64, 64, 3)
    """
    scale = IMAGE_SIZE // SPRITE_CELLS
    sprite = _pixel_sprite(portrait)
    return np.repeat(np.repeat(sprite, scale, axis=0), scale, axis=1)


def render_soft(portrait: Portrait, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A soft portrait: lit from a random side, vignetted, out of focus at the edges, without hard outlines.

    Returns
    -------
    uint8 array (64, 64, 3)
    """
    fine = IMAGE_SIZE * _SUPERSAMPLING
    shapes = _shapes(portrait, fine)
    light = np.array([rng.uniform(-0.9, -0.3), rng.uniform(-0.9, -0.5), 1.0])
    light[0] *= rng.choice([-1.0, 1.0])
    light /= np.linalg.norm(light)

    axis = (np.arange(fine, dtype=np.float32) + 0.5) / fine
    x, y = np.meshgrid(axis, axis)
    vignette = 1.04 - 0.34 * ((x - 0.5 - 0.15 * light[0]) ** 2 + (y - 0.42) ** 2)
    canvas = _rgb(portrait.background)[None, None, :] * vignette[..., None]

    def paint(field: Field, color: str, relief: float, softness: float = 0.25, shade: float = 0.55) -> None:
        nonlocal canvas
        alpha = np.clip(0.5 - field / (2 * softness), 0.0, 1.0)[..., None]
        lit = 1.0 - shade + shade * 1.35 * _lambert(field, relief, light)
        canvas = canvas * (1 - alpha) + np.clip(_rgb(color)[None, None, :] * lit[..., None], 0, 1) * alpha

    paint(shapes.hair_back, portrait.hair, relief=3.0)
    paint(shapes.clothes, portrait.clothes, relief=5.0)
    paint(shapes.neck, portrait.skin, relief=2.5, shade=0.75)
    if portrait.accessory == "necklace":
        paint(shapes.accessory, ACCESSORY_COLORS["necklace"], relief=0.8)
        paint(shapes.gems, _GEM_COLOR, relief=0.8)
    paint(shapes.face, portrait.skin, relief=6.0, shade=0.4)
    paint(shapes.eyes, _EYE_COLOR, relief=1.0, shade=0.2)
    paint(shapes.mouth, _LIP_COLOR, relief=1.5, shade=0.25)
    if portrait.expression == "smile":
        paint(shapes.teeth, _TEETH_COLOR, relief=1.5, shade=0.15)
    paint(shapes.hair_front, portrait.hair, relief=3.5)
    if portrait.accessory == "crown":
        paint(shapes.accessory, ACCESSORY_COLORS["crown"], relief=1.5)
        paint(shapes.gems, "#d62828", relief=0.6, shade=0.2)
    if portrait.accessory == "sunglasses":
        paint(shapes.accessory, ACCESSORY_COLORS["sunglasses"], relief=1.2, shade=0.3)
        paint(shapes.gems, "#7d8391", relief=1.0, softness=0.6, shade=0.2)

    blurred = gaussian_filter(canvas, sigma=(0.55 * _SUPERSAMPLING, 0.55 * _SUPERSAMPLING, 0))
    small = blurred.reshape(IMAGE_SIZE, _SUPERSAMPLING, IMAGE_SIZE, _SUPERSAMPLING, 3).mean(axis=(1, 3))
    return np.asarray(np.clip(small * 255 + 0.5, 0, 255), dtype=np.uint8)


def visible_regions(portrait: Portrait, resolution: int = IMAGE_SIZE) -> dict[str, Mask]:
    """Where each part of the portrait can be seen, for measuring pictures of it.

    Returns
    -------
    Boolean masks (resolution, resolution) named background, hair, face, clothes and accessory.
    """
    shapes = _shapes(portrait, resolution)
    accessory = (shapes.accessory < 0) | (shapes.gems < 0)
    front = shapes.hair_front < 0
    face = (shapes.face < 0) & ~front
    body = ((shapes.clothes < 0) | (shapes.neck < 0)) & ~face
    hair = front | ((shapes.hair_back < 0) & ~face & ~body)
    figure = front | face | body | hair
    return {
        "background": ~figure & ~accessory,
        "hair": hair & ~accessory,
        "face": face & ~accessory,
        "clothes": (shapes.clothes < 0) & ~face & ~hair & ~accessory,
        "accessory": accessory & (portrait.accessory != "none"),
    }


@dataclass(frozen=True)
class _Shapes:
    """Signed distances in sprite cells, each float32 (n, n)."""

    hair_back: Field
    hair_front: Field
    face: Field
    neck: Field
    clothes: Field
    eyes: Field
    mouth: Field
    teeth: Field
    accessory: Field
    gems: Field


def _shapes(portrait: Portrait, resolution: int) -> _Shapes:
    axis = (np.arange(resolution, dtype=np.float32) + 0.5) * (SPRITE_CELLS / resolution)
    grid_x, grid_y = np.meshgrid(axis, axis)
    shift_x, shift_y, width = portrait.pose
    x = grid_x - 16.0 - shift_x
    y = grid_y - shift_y
    side = np.abs(x)

    face = _ellipse(x, y - 15.5, 5.6 * width, 6.6)
    neck = _box(x, y - 23.0, 2.0, 3.5)
    clothes = _ellipse(x, y - 33.0, 11.0, 8.6)
    scalp = _ellipse(x, y - 13.0, 7.6 * width, 7.4)
    if portrait.hair_length == "long":
        hair_back = np.minimum(scalp, _box(x, y - 19.5, 7.6 * width, 7.5))
    else:
        hair_back = np.maximum(scalp, y - 17.0)
    fringe = np.maximum(scalp, y - (11.2 + 0.16 * side))
    locks = np.maximum(scalp, np.maximum(5.1 * width - side, y - 18.0))
    hair_front = np.minimum(fringe, locks)

    eyes = _box(side - 3.0, y - 15.0, 1.0, 1.0)
    if portrait.expression == "smile":
        mouth = np.maximum(_ellipse(x, y - 18.0, 3.6, 3.0), 18.0 - y)
        teeth = _box(x, y - 18.5, 2.5, 0.5)
    else:
        mouth = _box(x, y - 19.5, 2.0, 0.5)
        teeth = np.full_like(x, 99.0)

    nothing = np.full_like(x, 99.0)
    accessory, gems = nothing, nothing
    if portrait.accessory == "crown":
        band = _box(x, y - 6.5, 6.0, 1.5)
        spikes = np.minimum(_triangle(x, y - 5.0, 1.7, 4.0), _triangle(side - 4.6, y - 5.0, 1.6, 4.0))
        accessory = np.minimum(band, spikes)
        gems = np.minimum(_box(x, y - 6.5, 0.5, 0.5), _box(side - 4.5, y - 6.5, 0.5, 0.5))
    elif portrait.accessory == "sunglasses":
        lenses = _box(side - 3.0, y - 15.5, 2.1, 1.6)
        accessory = np.minimum(lenses, _box(x, y - 14.5, 6.0 * width, 0.6))
        gems = _box(side - 3.5, y - 14.5, 0.6, 0.6)
    elif portrait.accessory == "necklace":
        ring = np.abs(_ellipse(x, y - 22.5, 5.0, 4.6)) - 0.75
        accessory = np.maximum(ring, 22.5 - y)
        gems = _box(x, y - 28.0, 1.0, 1.0)
    return _Shapes(hair_back, hair_front, face, neck, clothes, eyes, mouth, teeth, accessory, gems)


def _pixel_sprite(portrait: Portrait) -> NDArray[np.uint8]:
    shapes = _shapes(portrait, SPRITE_CELLS)
    inside = {name: getattr(shapes, name) < 0 for name in _Shapes.__dataclass_fields__}
    sprite = np.empty((SPRITE_CELLS, SPRITE_CELLS, 3), dtype=np.float32)
    sprite[:] = _rgb(portrait.background)

    figure = inside["hair_back"] | inside["hair_front"] | inside["face"] | inside["neck"] | inside["clothes"]
    if portrait.accessory == "crown":
        figure = figure | inside["accessory"]
    outline = binary_dilation(figure) & ~figure
    sprite[outline] = np.minimum(_rgb(portrait.hair), 0.6) * _OUTLINE_DARKNESS

    hair = _rgb(portrait.hair)
    sprite[inside["hair_back"]] = hair * 0.72
    sprite[inside["clothes"]] = _rgb(portrait.clothes)
    sprite[inside["clothes"] & _right_edge(inside["clothes"])] = _rgb(portrait.clothes) * 0.72
    skin = _rgb(portrait.skin)
    sprite[inside["neck"]] = skin * 0.78
    if portrait.accessory == "necklace":
        sprite[inside["accessory"]] = _rgb(ACCESSORY_COLORS["necklace"])
        sprite[inside["gems"]] = _rgb(_GEM_COLOR)
    sprite[inside["face"]] = skin
    sprite[inside["eyes"]] = _rgb(_EYE_COLOR)
    sprite[inside["mouth"]] = _rgb(_LIP_COLOR)
    sprite[inside["teeth"]] = _rgb(_TEETH_COLOR)
    sprite[inside["hair_front"]] = hair
    if portrait.accessory in ("crown", "sunglasses"):
        sprite[inside["accessory"]] = _rgb(ACCESSORY_COLORS[portrait.accessory])
        sprite[inside["gems"]] = _rgb("#d62828" if portrait.accessory == "crown" else "#7d8391")
    return np.asarray(np.clip(sprite * 255 + 0.5, 0, 255), dtype=np.uint8)


def _right_edge(mask: Mask) -> Mask:
    """The two rightmost cells of a shape in each row: where its shadow falls."""
    shifted = np.zeros_like(mask)
    shifted[:, :-2] = mask[:, 2:]
    return mask & ~shifted


def _ellipse(x: Field, y: Field, radius_x: float, radius_y: float) -> Field:
    """First-order distance to an ellipse: exact on the boundary, good enough near it."""
    scaled = np.sqrt((x / radius_x) ** 2 + (y / radius_y) ** 2) + 1e-6
    slope = np.sqrt((x / radius_x**2) ** 2 + (y / radius_y**2) ** 2) + 1e-6
    return np.asarray(scaled * (scaled - 1.0) / slope, dtype=np.float32)


def _box(x: Field, y: Field, half_width: float, half_height: float) -> Field:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


def _triangle(x: Field, y: Field, half_width: float, height: float) -> Field:
    """Upright triangle standing on y = 0 with its tip at −height."""
    slanted = (np.abs(x) * height - (y + height) * half_width) / float(np.hypot(half_width, height))
    return np.asarray(np.maximum(slanted, y), dtype=np.float32)


def _lambert(field: Field, relief: float, light: NDArray[np.float64]) -> Field:
    """Brightness 0…1 of a pillow-shaped surface over the shape, lit from `light`."""
    step = SPRITE_CELLS / field.shape[0]
    height = np.sqrt(np.clip(-field / relief, 0.0, 1.0) * (2.0 - np.clip(-field / relief, 0.0, 1.0)))
    slope_y, slope_x = np.gradient(gaussian_filter(height * relief * 0.5, 0.25 / step), step)
    normal = np.stack([-slope_x, -slope_y, np.ones_like(slope_x)])
    normal /= np.linalg.norm(normal, axis=0)
    return np.asarray(np.clip(np.tensordot(light, normal, axes=1), 0.0, 1.0), dtype=np.float32)


def _rgb(color: str) -> NDArray[np.float32]:
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.float32) / np.float32(255)
