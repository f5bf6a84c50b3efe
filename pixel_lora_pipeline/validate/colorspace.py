"""Colours as numbers: hex, sRGB, OKLab, and how far apart two colours look."""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from skimage.color import deltaE_ciede2000, rgb2lab

# sRGB's transfer function (IEC 61966-2-1), tabulated for the 256 values that a channel can have.
_CODES = np.arange(256) / 255.0
_LINEAR: Final = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4)
_LINEAR.flags.writeable = False

_RGB_TO_LMS: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LMS_TO_OKLAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_OKLAB_TO_LMS: Final = np.linalg.inv(_LMS_TO_OKLAB)
_LMS_TO_RGB: Final = np.linalg.inv(_RGB_TO_LMS)


def rgb_of_hex(color: str) -> NDArray[np.uint8]:
    """The three sRGB channels of `#rrggbb`, as uint8[3]."""
    return np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)], dtype=np.uint8)


def hex_of_rgb(rgb: NDArray[np.uint8]) -> str:
    """`#rrggbb` in lower case, from uint8[3]."""
    red, green, blue = (int(channel) for channel in rgb)
    return f"#{red:02x}{green:02x}{blue:02x}"


def oklab_of_rgb(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """OKLab (lightness 0-1, green-red, blue-yellow) of sRGB, uint8[..., 3] to float64[..., 3].

    References
    ----------
    Björn Ottosson, "A perceptual color space for image processing", 2020,
    https://bottosson.github.io/posts/oklab/
    """
    # A matrix product in place of an einsum: twice as fast, and bit-exact whatever the number of threads
    # because each dot product has three terms.
    lms = np.cbrt(_LINEAR[rgb] @ _RGB_TO_LMS.T)
    return np.asarray(lms @ _LMS_TO_OKLAB.T)


def rgb_of_oklab(oklab: NDArray[np.float64]) -> NDArray[np.uint8]:
    """The nearest sRGB colour of OKLab, float64[..., 3] to uint8[..., 3]; colours out of gamut are clipped."""
    linear = np.clip((oklab @ _OKLAB_TO_LMS.T) ** 3 @ _LMS_TO_RGB.T, 0.0, 1.0)
    codes = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(codes * 255.0), dtype=np.uint8)


def delta_e(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIEDE2000 difference of sRGB colours, uint8[..., 3] against uint8[..., 3] (broadcast).

    About 1 is just visible side by side, 5 a clearly different shade, above 20 another colour name.
    Costs 0.3 µs a pair on top of 0.2 ms: meant for palettes, not for whole pictures. The palette of one image is
    compared with the same few colours again and again, so the last results are kept; they are read-only.

    References
    ----------
    Sharma, Wu, Dalal, "The CIEDE2000 color-difference formula", Color Research & Application 30 (2005),
    doi:10.1002/col.20070
    """
    return _delta_e(first.tobytes(), first.shape, second.tobytes(), second.shape)


@lru_cache(maxsize=128)
def _delta_e(
    first: bytes, first_shape: tuple[int, ...], second: bytes, second_shape: tuple[int, ...]
) -> NDArray[np.float64]:
    labs = np.broadcast_arrays(_lab(first, first_shape), _lab(second, second_shape))
    difference = np.asarray(deltaE_ciede2000(*labs), dtype=np.float64)
    difference.flags.writeable = False
    return difference


@lru_cache(maxsize=128)
def _lab(rgb: bytes, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return np.asarray(rgb2lab(np.frombuffer(rgb, dtype=np.uint8).reshape(shape)))


def delta_e_hex(first: str, second: str) -> float:
    """CIEDE2000 difference of two `#rrggbb` colours."""
    return float(delta_e(rgb_of_hex(first), rgb_of_hex(second)))


# How far the hue of two shades of one colour may drift, as distance of (a/L, b/L). Multiplying linear RGB by
# a factor - less light - scales all three OKLab coordinates alike and leaves the ratios as they are; sprite
# painters shift hues by up to about this much.
_SHADE_DRIFT: Final = 0.06
# A highlight is the colour mixed with white: at one third of white, a pure colour keeps this share of a/L.
_HIGHLIGHT_CHROMA: Final = 0.7
# The darkest shadow of a highlight that still reads as the same material, in OKLab lightness: a fifth of the
# light. Sprite shadows take away about half of it, highlights add half.
_DARKEST_SHADE: Final = 0.6


def is_shade_of(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether two OKLab colours can be one material under more or less light (float64[..., 3], broadcast).

    A shadow keeps the ratios a/L and b/L; a highlight moves towards white, that is, keeps the hue and loses
    chroma. Symmetric in its arguments.
    """
    first, second = np.broadcast_arrays(first, second)
    dark = np.where(first[..., :1] <= second[..., :1], first, second)
    light = np.where(first[..., :1] <= second[..., :1], second, first)
    dark_l, light_l = np.maximum(dark[..., 0], 1e-6), np.maximum(light[..., 0], 1e-6)
    dark_ab = dark[..., 1:] / dark_l[..., None]
    light_ab = light[..., 1:] / light_l[..., None]
    # The nearest point of the segment from the light colour's own ratios outwards: a highlight may have lost
    # chroma, so the light colour's ratios may be any shortening of the dark one's.
    length = np.maximum(np.sum(dark_ab**2, axis=-1), 1e-12)
    along = np.clip(np.sum(light_ab * dark_ab, axis=-1) / length, _HIGHLIGHT_CHROMA, 1.0)
    drift = np.linalg.norm(light_ab - along[..., None] * dark_ab, axis=-1)
    return np.asarray((drift <= _SHADE_DRIFT) & (dark_l >= _DARKEST_SHADE * light_l))


# Painters let shadows turn towards violet and highlights towards yellow, by up to this much of hue from one end of
# a ramp to the other (degrees), while chroma stays within this factor. Hues in OKLab, degrees.
_VIOLET: Final = 290.0
_MOST_TURN: Final = 40.0
_SAME_HUE: Final = 8.0
_CHROMA_FACTOR: Final = 2.0
_NO_CHROMA: Final = 0.035
# The darkest end of a ramp, relative to the lightest (OKLab lightness): a quarter less in every channel, twice.
_END_OF_RAMP: Final = 0.6


def is_on_ramp_of(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether two OKLab colours can be steps of one painted ramp, with its hue shift (float64[..., 3], broadcast).

    Weaker than `is_shade_of`: red is on a ramp of orange. Where that matters, ask the shape of the area, too.
    """
    first, second = np.broadcast_arrays(first, second)
    is_first_dark = first[..., :1] <= second[..., :1]
    dark, light = np.where(is_first_dark, first, second), np.where(is_first_dark, second, first)
    chroma_dark, chroma_light = np.hypot(dark[..., 1], dark[..., 2]), np.hypot(light[..., 1], light[..., 2])
    hue_dark = np.degrees(np.arctan2(dark[..., 2], dark[..., 1]))
    hue_light = np.degrees(np.arctan2(light[..., 2], light[..., 1]))
    turn = np.abs(_angle(hue_dark - hue_light))
    is_turning_right = np.abs(_angle(hue_dark - _VIOLET)) <= np.abs(_angle(hue_light - _VIOLET)) + _SAME_HUE
    both_grey = np.maximum(chroma_dark, chroma_light) < _NO_CHROMA
    factor = np.maximum(chroma_dark, chroma_light) / np.maximum(np.minimum(chroma_dark, chroma_light), 1e-6)
    same_color = (turn <= _MOST_TURN) & is_turning_right & (factor <= _CHROMA_FACTOR)
    return np.asarray((both_grey | same_color) & (dark[..., 0] >= _END_OF_RAMP * light[..., 0]))


def _angle(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    return (degrees + 180.0) % 360.0 - 180.0
