"""Small portraits drawn cell by cell, and what happens to them on the way to an image file."""

import io
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

Pixels = NDArray[np.uint8]

BACKGROUND = "#2e9e44"
HAIR = "#ff69b4"
SKIN = "#f6d3b3"
LIPS = "#b3333d"
CLOTHES = "#2f5fd0"
OUTLINE = "#17121e"

# One letter a cell: . background, o outline, h hair, d second part of the hair, s skin, e eyebrow, l lips, c clothes,
# a crown, g sunglasses, n necklace.
DRAWING = """
........................
........................
........a..a..a.........
........aaaaaaa.........
........aaaaaaa.........
.......ooooooooo........
......ohhhhhddddo.......
.....ohhhhhhdddddo......
.....ohhhhhhdddddo......
.....ohhssssssssdo......
.....ohsssessessso......
.....ohsggggggggso......
.....ohsgggssgggso......
.....ohsssssssssso......
.....ohsssssssssso......
.....ohssslllsssso......
.....ohhsssssssddo......
.....oooosssssoooo......
.........sssss..........
......oocnnnnncoo.......
.....occccnnnccccco.....
....occccccccccccccoo...
....occccccccccccccco...
....occccccccccccccco...
"""


def rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def portrait(
    *,
    background: str = BACKGROUND,
    hair: str = HAIR,
    second_hair: str | None = None,
    skin: str = SKIN,
    lips: str = LIPS,
    clothes: str = CLOTHES,
    accessories: Mapping[str, str] | None = None,
) -> Pixels:
    """A portrait of 24 x 24 cells, one pixel a cell; accessories are crown, sunglasses, necklace."""
    worn = dict(accessories or {})
    legend = {
        ".": background,
        "o": OUTLINE,
        "h": hair,
        "d": second_hair or hair,
        "s": skin,
        "e": OUTLINE,
        "l": lips,
        "c": clothes,
        "a": worn.get("crown", background),
        "g": worn.get("sunglasses", skin),
        "n": worn.get("necklace", clothes),
    }
    rows = DRAWING.split()
    return np.array([[rgb(legend[cell]) for cell in row] for row in rows], dtype=np.uint8)


def enlarged(native: Pixels, scale: int) -> Pixels:
    return native.repeat(scale, axis=0).repeat(scale, axis=1)


def blurred(image: Pixels, radius: float) -> Pixels:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius)))


def resized(image: Pixels, size: tuple[int, int], method: Image.Resampling) -> Pixels:
    return np.asarray(Image.fromarray(image).resize(size, method))


def through_jpeg(image: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def with_noise(image: Pixels, sigma: float, seed: int = 0) -> Pixels:
    noise = np.random.default_rng(seed).normal(0.0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def softened(image: Pixels) -> Pixels:
    """Blur, noise and JPEG, as of a decoder of latents."""
    return through_jpeg(with_noise(blurred(image, 1.2), 3.0), 85)


def noise(side: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def png(image: Pixels) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()
