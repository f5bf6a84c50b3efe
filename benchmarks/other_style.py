"""Portraits in a style of their own, with known labels, to see whether the metrics carry over.

Neither the labelled sprites nor the embedded model look like these: 24 to 96 cells a side, heads that fill the
picture or a tenth of it, turned to one side or not, with or without outlines, in flat colours or ramps with shifted
hue, before plain, banded, dithered, speckled or chequered backgrounds, with hair from none to an afro, hats, crowns,
glasses, beards, masks, earrings and necklaces. `python benchmarks/other_style.py OUT.png` draws a sheet of them.
"""

import argparse
import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
RGB = tuple[int, int, int]
Point = tuple[float, float]

HAIR = ("#1c1410", "#4a2c17", "#8a5a2b", "#e0b64f", "#f2e2b0", "#b5401c", "#7d7f86", "#ececf2", "#e84a8f", "#3f7fe8",
        "#39b25a", "#8d4fd6", "#22b8b0", "#d8262b", "#f07f1d")  # fmt: skip
SKIN = ("#fbe0cc", "#f0c19a", "#d99b6c", "#b0733f", "#7d4c2b", "#54331f")
BACKGROUNDS = (*HAIR, "#f7d6e0", "#cfe8ff", "#fff3c4", "#2a2f4a", "#d9d9d9", "#5a6b3b", "#ff5a5a", "#9ad7a8")
CLOTHES = (*BACKGROUNDS, "#ffffff", "#333333")
METALS = ("#ffd23f", "#d9a520", "#d0d4dc", "#c77b4a")
WORN = ("#c8102e", "#1d4ed8", "#15803d", "#6d28d9", "#111827", "#f59e0b", "#ffffff", "#0e7490", "#be185d", "#78350f")
DARK_LENSES = ("#0b0b0f", "#1b1f2b", "#2b1a12", "#14213d", "#26262b")
FRAMES = ("#0f0f12", "#7a1f1f", "#c0c4cc", "#1e3a8a", "#5b3a1e", "#f5f5f5")

HAIRCUTS = ("bald", "short", "long", "bob", "afro", "mohawk", "spiky", "bun", "pigtails", "side", "curls")
BACKGROUND_KINDS = ("flat", "flat", "flat", "bands", "dithered", "speckled", "chequered", "vignette")


@dataclass(frozen=True)
class Drawn:
    """One portrait at native size, uint8[rows, columns, 3], and what it shows.

    `second_hair` is None for hair of one tone, `accessories` gives the colour of what is worn, `visible` counts
    the cells of each part that nothing covers.
    """

    pixels: Pixels
    background: str
    hair: str | None
    second_hair: str | None
    skin: str
    accessories: dict[str, str]
    visible: dict[str, int]


def draw(seed: int) -> Drawn:
    """The portrait number `seed`."""
    return _Painter(np.random.default_rng(seed)).paint()


@dataclass
class _Painter:
    rng: np.random.Generator
    owners: dict[str, Mask] = field(default_factory=dict)

    def paint(self) -> Drawn:
        self._compose()
        background = self._pick(BACKGROUNDS)
        skin, hair = self._pick(SKIN), self._pick(HAIR)
        while _far(hair, background) < 0.12 or _far(hair, skin) < 0.1 or _far(skin, background) < 0.1:
            background, hair = self._pick(BACKGROUNDS), self._pick(HAIR)
        self.pixels = self._background(background)
        clothes = self._pick(CLOTHES)
        haircut = self._pick(HAIRCUTS)
        back, front = self._hair(haircut)
        second = None
        if haircut != "bald" and self.rng.random() < 0.25:
            second = self._pick(HAIR)
            while _far(second, hair) < 0.2:
                second = self._pick(HAIR)
        streaks = None if second is None else self._second_tone(back | front)

        self._hair_layer("hair", back, hair, second, streaks)
        self._body(clothes, skin)
        worn: dict[str, str] = {}
        if self.rng.random() < 0.3:
            worn["necklace"] = self._pick((*METALS, "#e11d48", "#f8fafc"))
            self._part("necklace", self._necklace(), worn["necklace"], flat=True)
        self._part("skin", self._head(), skin)
        self._face(skin, hair)
        self._hair_layer("hair", front, hair, second, streaks)
        self._eyewear(worn)
        self._headwear(worn)
        self._outline()
        visible = {name: int(mask.sum()) for name, mask in self.owners.items()}
        if visible.get("hair", 0) == 0:
            hair_color, second = None, None
        else:
            hair_color = hair
            if streaks is not None and not self._both_tones_show(streaks):
                second = None
        return Drawn(self.pixels, background, hair_color, second, skin, worn, visible)

    def _compose(self) -> None:
        """Size of the picture and place of the head."""
        rng = self.rng
        framing = self._pick(("bust", "bust", "bust", "close", "chibi", "full"))
        side = int(rng.choice([24, 28, 32, 40, 48, 64, 80, 96] if framing != "full" else [64, 80, 96]))
        self.width = side
        self.height = round(side * float(rng.choice([1.0, 1.0, 1.0, 1.25])))
        self.framing = framing
        width, height = {"bust": (0.22, 0.23), "close": (0.29, 0.29), "chibi": (0.26, 0.22), "full": (0.13, 0.12)}[
            framing
        ]
        self.half_width = width * side * rng.uniform(0.92, 1.08)
        self.half_height = height * side * rng.uniform(0.95, 1.1)
        self.center_x = side / 2 + rng.uniform(-0.05, 0.05) * side
        self.center_y = {"bust": 0.46, "close": 0.52, "chibi": 0.42, "full": 0.28}[framing] * self.height
        self.turn = float(rng.choice([0.0, 0.0, 0.25, -0.25, 0.5, -0.5]))
        self.light = (float(rng.choice([-1, 1])), float(rng.choice([-1, 0])))
        self.tones = int(rng.integers(0, 4))
        self.lines = self._pick(("none", "black", "black", "tinted", "inner"))
        self.box_head = rng.random() < 0.3
        self.owners = {}

    # Shapes. Positions are in half widths and half heights of the head, from its centre.

    def _at(self, x: float, y: float) -> Point:
        return self.center_x + x * self.half_width - 0.5, self.center_y + y * self.half_height - 0.5

    def _blank(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        image = Image.new("1", (self.width, self.height))
        return image, ImageDraw.Draw(image)

    def _ellipse(self, x: float, y: float, across: float, down: float) -> Mask:
        image, draw_on = self._blank()
        draw_on.ellipse([*self._at(x - across, y - down), *self._at(x + across, y + down)], fill=1)
        return np.array(image, dtype=bool)

    def _box(self, left: float, top: float, right: float, bottom: float) -> Mask:
        image, draw_on = self._blank()
        draw_on.rectangle([*map(round, self._at(left, top)), *map(round, self._at(right, bottom))], fill=1)
        return np.array(image, dtype=bool)

    def _polygon(self, *points: Point) -> Mask:
        image, draw_on = self._blank()
        draw_on.polygon([self._at(*point) for point in points], fill=1)
        return np.array(image, dtype=bool)

    def _above(self, y: float) -> Mask:
        rows = np.arange(self.height)[:, None] < self._at(0, y)[1]
        return np.broadcast_to(rows, (self.height, self.width))

    def _left_of(self, x: float) -> Mask:
        columns = np.arange(self.width)[None, :] < self._at(x, 0)[0]
        return np.broadcast_to(columns, (self.height, self.width))

    def _head(self) -> Mask:
        if self.box_head:
            head = self._box(-0.95, -0.9, 0.95, 0.75) | self._box(-0.7, -1.0, 0.7, 1.0)
        else:
            head = self._ellipse(0, -0.1, 1.0, 0.9) | self._ellipse(0, 0.15, 0.8, 0.85)
        ears = self._box(-1.12, -0.1, -0.9, 0.25) | self._box(0.9, -0.1, 1.12, 0.25)
        if self.turn:
            ears &= self._left_of(0) if self.turn > 0 else ~self._left_of(0)
        return head | ears

    def _hair(self, cut: str) -> tuple[Mask, Mask]:
        """Behind and in front of the face."""
        nothing = np.zeros((self.height, self.width), dtype=bool)
        if cut == "bald":
            return nothing, nothing
        rng = self.rng
        fringe = rng.uniform(-0.6, -0.3)
        cap = self._ellipse(-0.12 * np.sign(self.turn), -0.2, 1.16, 1.05)
        front = cap & self._above(fringe)
        sides = cap & self._above(rng.uniform(0.0, 0.3)) & ~self._box(-0.84, -2, 0.84, 3)
        if cut == "long":
            return cap | self._box(-1.25, -0.6, 1.25, rng.uniform(1.3, 2.2)), front | sides
        if cut == "bob":
            return cap | self._box(-1.2, -0.5, 1.2, rng.uniform(0.6, 1.0)), front | sides
        if cut == "afro":
            return self._ellipse(0, -0.6, 1.75, 1.35), front | sides
        if cut == "mohawk":
            return self._ellipse(0, -1.1, 0.34, 0.8), self._box(-0.3, -1.3, 0.3, -0.7)
        if cut == "spiky":
            spikes = nothing
            for x in np.linspace(-1.0, 1.0, 5):
                spikes = spikes | self._polygon((x - 0.4, -0.5), (x * 1.35, -1.75 + 0.35 * abs(x)), (x + 0.4, -0.5))
            return cap & self._above(0.1) | spikes, front | (spikes & self._above(fringe))
        if cut == "bun":
            return cap & self._above(0.1) | self._ellipse(0, -1.4, 0.5, 0.42), front | sides
        if cut == "pigtails":
            tails = self._ellipse(-1.5, 0.5, 0.38, 0.9) | self._ellipse(1.5, 0.5, 0.38, 0.9)
            return cap & self._above(0.2) | tails | self._box(-1.4, -0.3, 1.4, 0.0), front | sides
        if cut == "side":
            slant = self._polygon((-1.3, -1.4), (1.3, -1.4), (1.2, -0.75), (-1.15, 0.1))
            return cap & self._above(0.3), (cap & slant) | sides
        if cut == "curls":
            curls = nothing
            for angle in np.linspace(math.pi * 0.9, math.pi * 2.1, 9):
                curls = curls | self._ellipse(1.1 * math.cos(angle), 1.0 * math.sin(angle) - 0.1, 0.34, 0.32)
            return curls | cap & self._above(0.2), front | (curls & self._above(fringe))
        return cap & self._above(0.2), front | sides

    def _second_tone(self, hair: Mask) -> Mask:
        rows = np.flatnonzero(hair.any(axis=1))
        kind = self._pick(("half", "dipped", "streaks", "roots"))
        if kind == "half":
            return ~self._left_of(0.0)
        if kind == "dipped":
            return np.asarray(
                np.arange(self.height)[:, None] >= rows[0] + 0.55 * (rows[-1] - rows[0]) + np.zeros(self.width)
            )
        if kind == "roots":
            return np.asarray(
                np.arange(self.height)[:, None] < rows[0] + 0.4 * (rows[-1] - rows[0]) + np.zeros(self.width)
            )
        wide = max(2, round(0.35 * self.half_width))
        return np.asarray((np.arange(self.width)[None, :] // wide) % 2 + np.zeros((self.height, 1)) > 0.5)

    def _body(self, clothes: str, skin: str) -> None:
        neck = self._box(-0.35, 0.6, 0.35, 1.5)
        if self.framing in ("bust", "close"):
            body = self._ellipse(0, 3.0, self.rng.uniform(1.6, 2.1), 1.8) & ~self._above(1.25)
        elif self.framing == "chibi":
            body = self._box(-0.7, 1.1, 0.7, 2.2) | self._box(-0.55, 2.1, -0.1, 3.0) | self._box(0.1, 2.1, 0.55, 3.0)
        else:
            body = self._box(-1.3, 1.3, 1.3, 4.0) | self._box(-1.1, 4.0, -0.15, 7.0) | self._box(0.15, 4.0, 1.1, 7.0)
            body |= self._box(-1.9, 1.5, -1.3, 4.0) | self._box(1.3, 1.5, 1.9, 4.0)
        self._part("clothes", body, clothes)
        if self.rng.random() < 0.3:
            stripes = body & ((np.arange(self.height)[:, None] // 2) % 2 == 0)
            self._part("clothes", stripes, self._pick(CLOTHES), flat=True)
        self._part("skin", neck, skin)

    def _necklace(self) -> Mask:
        thick = max(0.09, 1.3 / self.half_height)
        if self.rng.random() < 0.4:
            return self._box(-0.42, 1.08, 0.42, 1.08 + 1.5 * thick)
        ring = self._ellipse(0, 1.15, 0.75, 0.65) & ~self._ellipse(0, 1.15, 0.75 - thick * 1.2, 0.65 - thick)
        pendant = self._box(-0.12, 1.7, 0.12, 1.95) if self.rng.random() < 0.5 else np.zeros_like(ring)
        return (ring & ~self._above(1.15)) | pendant

    def _face(self, skin: str, hair: str) -> None:
        rng, shift = self.rng, self.turn
        self.eye_y = rng.uniform(-0.05, 0.12)
        apart = 0.42 * (1.0 - 0.5 * abs(shift))
        self.eye_x = (shift - apart, shift + apart)
        size = max(0.1, 0.55 / self.half_width, rng.uniform(0.1, 0.22))
        white = rng.random() < 0.5
        iris = self._pick(("#20242c", "#3b2a1a", "#2f6fb0", "#3d8b4f"))
        for x in self.eye_x:
            if white:
                eye = self._box(x - 1.4 * size, self.eye_y - size, x + 1.4 * size, self.eye_y + size)
                self._part("eyes", eye, "#f7f7f2", flat=True)
            pupil = self._box(x - 0.6 * size, self.eye_y - size, x + 0.6 * size, self.eye_y + size)
            self._part("eyes", pupil, iris, flat=True)
            if rng.random() < 0.5:
                brow = self._box(x - 0.28, self.eye_y - 0.36, x + 0.28, self.eye_y - 0.3)
                self._part("brows", brow, _scaled(hair, 0.6), flat=True)
        if rng.random() < 0.12:
            beard = (
                self._head() & ~self._above(0.5) & ~self._box(-1.3, -0.2, -0.9, 0.3) & ~self._box(0.9, -0.2, 1.3, 0.3)
            )
            self._part("beard", beard, _scaled(hair, 0.9) if rng.random() < 0.5 else hair)
        lips = self._pick(("#b0413e", "#8c2f39", _scaled(skin, 0.6)))
        mouth_height = 0.0 if rng.random() < 0.5 else 0.08
        self._part(
            "lips", self._box(shift * 0.9 - 0.25, 0.55, shift * 0.9 + 0.25, 0.55 + mouth_height), lips, flat=True
        )
        if rng.random() < 0.08:
            mask = self._head() & ~self._above(0.25) & self._above(0.95)
            self._part("mask", mask, self._pick(("#f2f2f2", "#8fd3f4", "#1a1a1a")))
        if rng.random() < 0.2:
            for x in (-1.05, 1.05):
                self._part("earrings", self._box(x - 0.06, 0.28, x + 0.06, 0.36), self._pick(METALS), flat=True)

    def _eyewear(self, worn: dict[str, str]) -> None:
        rng, y = self.rng, self.eye_y
        chance = rng.random()
        apart = (self.eye_x[1] - self.eye_x[0]) / 2.0
        reach, tall, is_round = apart * rng.uniform(0.7, 0.9), rng.uniform(0.2, 0.3), rng.random() < 0.3
        thin = 1.0 / self.half_height
        bridge = self._box(self.eye_x[0], y - tall * 0.4, self.eye_x[1], y - tall * 0.4 + thin * 0.5)
        temples = self._box(-0.98, y - tall * 0.5, 0.98, y - tall * 0.5) & self._head()
        lenses = np.zeros_like(bridge)
        for x in self.eye_x:
            lenses |= (
                self._ellipse(x, y, reach, tall) if is_round else self._box(x - reach, y - tall, x + reach, y + tall)
            )
        if chance < 0.18:
            worn["sunglasses"] = self._pick(DARK_LENSES)
            self._part("sunglasses", lenses | bridge | temples, worn["sunglasses"], flat=True)
            if rng.random() < 0.5:
                for x in self.eye_x:
                    glint = self._box(x - reach * 0.5, y - tall * 0.5, x - reach * 0.5, y - tall * 0.5)
                    self._part("glint", glint, "#8f9bb3", flat=True)
        elif chance < 0.36 and self.half_width >= 5.0:
            worn["glasses"] = self._pick(FRAMES)
            rims = lenses & ~ndimage.binary_erosion(lenses)
            self._part("glasses", rims | bridge | temples, worn["glasses"], flat=True)
        elif chance < 0.4:
            patch = self._box(self.eye_x[0] - 0.3, y - 0.25, self.eye_x[0] + 0.3, y + 0.25)
            self._part("patch", patch | temples, "#16161a", flat=True)

    def _headwear(self, worn: dict[str, str]) -> None:
        rng = self.rng
        chance = rng.random()
        line = rng.uniform(-0.55, -0.35)
        if chance < 0.2:
            worn["hat"] = self._pick(WORN)
            dome = self._ellipse(0, -0.45, 1.2, 0.85) & self._above(line)
            kind = self._pick(("cap", "beanie", "top", "brim", "wizard"))
            if kind == "cap":
                side = float(rng.choice([-1, 1]))
                hat = dome | self._polygon(
                    (0, line - 0.15), (side * 1.75, line - 0.1), (side * 1.75, line + 0.05), (0, line + 0.05)
                )
            elif kind == "beanie":
                hat = dome | self._box(-1.2, line - 0.25, 1.2, line) | self._ellipse(0, -1.35, 0.2, 0.2)
            elif kind == "top":
                hat = self._box(-0.85, -1.75, 0.85, line) | self._box(-1.5, line - 0.18, 1.5, line)
            elif kind == "brim":
                hat = dome | self._ellipse(0, line, 1.9, 0.2)
            else:
                hat = self._polygon((-1.1, line), (0.3, -2.0), (1.1, line)) | self._ellipse(0, line, 1.7, 0.18)
            self._part("hat", hat, worn["hat"])
            if rng.random() < 0.5:
                self._part("hat band", hat & self._box(-1.0, line - 0.3, 1.0, line - 0.2), self._pick(WORN), flat=True)
        elif chance < 0.36:
            worn["crown"] = self._pick((*METALS, METALS[0], METALS[0]))
            top = line - 0.35
            crown = self._box(-0.95, top, 0.95, line - 0.1)
            for x in (-0.75, 0.0, 0.75):
                crown = crown | self._polygon((x - 0.3, top), (x, top - 0.5), (x + 0.3, top))
            self._part("crown", crown, worn["crown"])
            for x in (-0.5, 0.0, 0.5):
                self._part("gems", self._box(x - 0.05, top + 0.1, x + 0.05, top + 0.15), self._pick(WORN), flat=True)

    # Colours.

    def _part(self, name: str, mask: Mask, color: str, *, flat: bool = False) -> None:
        base = np.array(_rgb(color))
        self.pixels[mask] = base
        self._claim(name, mask)
        if flat or self.tones == 0:
            return
        depth = max(1, round(0.16 * self.half_width))
        self.pixels[_lit_edge(mask, (-self.light[0], -self.light[1]), depth)] = _ramp(color, -1)
        if self.tones >= 2:
            self.pixels[_lit_edge(mask, self.light, max(1, depth // 2))] = _ramp(color, 1)
        if self.tones >= 3 and depth > 1:
            self.pixels[_lit_edge(mask, (-self.light[0], -self.light[1]), depth // 2)] = _ramp(color, -2)

    def _hair_layer(self, name: str, mask: Mask, color: str, second: str | None, streaks: Mask | None) -> None:
        if not mask.any():
            return
        self._part(name, mask, color)
        if second is not None and streaks is not None:
            part = mask & streaks
            flat, self.tones = self.tones, min(self.tones, 1)
            self._part(name, part, second, flat=not part.any())
            self.tones = flat

    def _both_tones_show(self, streaks: Mask) -> bool:
        hair = self.owners["hair"]
        share = (hair & streaks).sum() / hair.sum()
        return bool(0.15 <= share <= 0.85)

    def _claim(self, name: str, mask: Mask) -> None:
        for other, cells in self.owners.items():
            if other != name:
                cells &= ~mask
        self.owners[name] = self.owners.get(name, np.zeros_like(mask)) | mask

    def _background(self, color: str) -> Pixels:
        rng, shape = self.rng, (self.height, self.width)
        base, other = np.array(_rgb(color)), np.array(_ramp(color, -1 if rng.random() < 0.5 else 1))
        kind = self._pick(BACKGROUND_KINDS)
        rows, columns = np.mgrid[0 : self.height, 0 : self.width]
        second = np.zeros(shape, dtype=bool)
        if kind == "bands":
            second = rows > 0.7 * self.height
        elif kind == "dithered":
            bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16.0
            threshold = np.tile(bayer, (self.height // 4 + 1, self.width // 4 + 1))[: self.height, : self.width]
            second = (rows / self.height - 0.35) > threshold
        elif kind == "speckled":
            second = rng.random(shape) < 0.08
        elif kind == "chequered":
            side = max(2, self.width // 8)
            second = (rows // side % 4 == 0) & (columns // side % 2 == 0)
        elif kind == "vignette":
            second = np.hypot(rows / self.height - 0.5, columns / self.width - 0.5) > 0.6
        return np.where(second[..., None], other, base).astype(np.uint8)

    def _outline(self) -> None:
        figure = np.any(list(self.owners.values()), axis=0)
        if self.lines == "none":
            return
        if self.lines == "inner":
            head = self.owners["skin"]
            self.pixels[ndimage.binary_dilation(head) & ~head & self.owners["clothes"]] = (24, 18, 26)
        edge = ndimage.binary_dilation(figure) & ~figure
        if self.lines == "tinted":
            nearest = ndimage.distance_transform_edt(~figure, return_distances=False, return_indices=True)
            self.pixels[edge] = (self.pixels[tuple(nearest)][edge] * 0.35).astype(np.uint8)
        else:
            self.pixels[edge] = (16, 12, 18)

    def _pick(self, options: Sequence[str]) -> str:
        return options[int(self.rng.integers(len(options)))]


def _rgb(color: str) -> RGB:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def _scaled(color: str, factor: float) -> str:
    return "#" + "".join(f"{round(channel * factor):02x}" for channel in _rgb(color))


def _far(first: str, second: str) -> float:
    return float(np.abs(np.subtract(_rgb(first), _rgb(second))).mean() / 255.0)


def _ramp(color: str, step: int) -> RGB:
    """A shade of a colour: darker towards purple, lighter towards yellow, as sprite painters do."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(channel / 255.0 for channel in _rgb(color)))
    target = 0.72 if step < 0 else 0.16
    turn = (target - hue + 0.5) % 1.0 - 0.5
    hue = (hue + 0.04 * abs(step) * np.sign(turn)) % 1.0
    value = value * 0.74 ** (-step) if step < 0 else min(1.0, value * 1.15 + 0.03)
    saturation = saturation if step < 0 else saturation * 0.8
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _lit_edge(mask: Mask, direction: Point, depth: int) -> Mask:
    """The cells of a shape within `depth` of its edge on the side that `direction` points to."""
    rows, columns = round(direction[1] * depth), round(direction[0] * depth)
    moved = np.zeros_like(mask)
    source = mask[max(0, rows) : mask.shape[0] + min(0, rows), max(0, columns) : mask.shape[1] + min(0, columns)]
    moved[max(0, -rows) : mask.shape[0] - max(0, rows), max(0, -columns) : mask.shape[1] - max(0, columns)] = source
    return mask & ~moved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where to write the sheet (PNG)")
    parser.add_argument("--count", type=int, default=60)
    arguments = parser.parse_args()
    side, columns = 112, 10
    sheet = Image.new("RGB", (columns * side, math.ceil(arguments.count / columns) * side), "white")
    for at in range(arguments.count):
        tile = Image.fromarray(draw(at).pixels)
        tile.thumbnail((side, side), Image.Resampling.NEAREST)
        scale = max(1, min(side // tile.width, side // tile.height))
        tile = tile.resize((tile.width * scale, tile.height * scale), Image.Resampling.NEAREST)
        sheet.paste(tile, (at % columns * side, at // columns * side))
    sheet.save(arguments.out)


if __name__ == "__main__":
    main()
