"""How right the colour metrics are, on labelled portraits in several styles: rows for `benchmarks/metrics.py`.

Styles: labelled sprites from a folder (`labels.json`), the portraits that the embedded model is trained on in both
renderings, images that the model really paints (`--painted`), and a style that exists only for this purpose
(`other_style.py`). Every portrait is enlarged eight times and then left as it is, softened, compressed or resampled,
in turn, so that each counts once. By itself: `python benchmarks/color_figures.py FOLDER`.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from other_style import draw
from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table
from style_figures import Row, auc, enlarged, interval_of, mean_of, resampled, soft, through_jpeg

from pixel_lora_pipeline.embedded.portrait import ACCESSORY_COLORS, Portrait, draw_portrait
from pixel_lora_pipeline.embedded.render import render_pixel, render_soft, visible_regions
from pixel_lora_pipeline.validate import Expectation, ImageMeasurement, measure_image
from pixel_lora_pipeline.validate.colorspace import delta_e_hex, hex_of_rgb

Pixels = NDArray[np.uint8]

PORTRAITS = 200  # of each drawn style
SCALE = 8
LITTLE_HAIR = 4  # cells of visible hair up to which no colour of hair is asked for
WRONG = 20.0  # ΔE00 from which on a colour is a wrong one
APART = 10.0  # ΔE00 below which nobody could tell hair from skin or background

DEGRADED: tuple[Callable[[Pixels, int], Pixels], ...] = (
    lambda image, _: image,
    soft,
    lambda image, _: through_jpeg(image, 60),
    lambda image, _: resampled(image, 1.07),
)
# Must and stretch of each figure.
BACKGROUND, HAIR, HAIR_WITH_HAT = (0.99, 0.999), (0.93, 0.98), (0.70, 0.90)
WRONG_HEX, TWO_TONED, NAMED, UNNAMED = (0.97, 0.99), (0.85, 0.93), (0.95, 0.99), (0.75, 0.90)


@dataclass(frozen=True)
class Sample:
    """A labelled portrait. `hair` is None where none is seen; `absent` are accessories that are not worn."""

    pixels: Pixels
    background: str
    hair: str | None
    is_two_toned: bool
    skin: str
    accessories: Mapping[str, str]
    absent: tuple[str, ...]

    @property
    def has_hat(self) -> bool:
        return not self.accessories.keys().isdisjoint({"hat", "crown"})

    def expectation(self, **changes: object) -> Expectation:
        """What a prompt for this portrait names: background, hair, and what is worn in its colours."""
        named = {"background": self.background, "hair": self.hair, "accessories": dict(self.accessories)}
        return Expectation(**(named | changes))  # type: ignore[arg-type]


def labelled_sprites(folder: Path, every: int) -> list[Sample]:
    samples = []
    for label in json.loads((folder / "labels.json").read_text(encoding="utf-8"))["items"][::every]:
        pixels = np.asarray(Image.open(folder / label["file"]).convert("RGB"))
        worn = {name: f"#{label[f'{name}_color']}" for name in ("hat", "glasses") if label[f"{name}_color"]}
        if label["glasses_kind"] == "dark":
            worn["sunglasses"] = worn["glasses"]
        hair = f"#{label['hair_color']}" if label["hair_color"] and label["hair_px"] > LITTLE_HAIR else None
        absent = tuple(sorted({"hat", "glasses", "sunglasses"} - worn.keys()))
        background, skin = f"#{label['background_color']}", f"#{label['skin_color']}"
        samples.append(Sample(pixels, background, hair, label["two_tone"] is not None, skin, worn, absent))
    return samples


def embedded_portraits(count: int, seed: int) -> list[Portrait]:
    rng = np.random.default_rng(seed)
    portraits: list[Portrait] = []
    while len(portraits) < count:
        portrait = draw_portrait(rng, hex_share=0.5)
        if min(delta_e_hex(portrait.hair, other) for other in (portrait.background, portrait.skin)) >= APART:
            portraits.append(portrait)
    return portraits


def pixel_renderings(count: int) -> list[Sample]:
    """One in three with hair in two colours: the lower part or the right half in another."""
    rng = np.random.default_rng(3)
    samples = []
    for at, portrait in enumerate(embedded_portraits(count, seed=7)):
        second = draw_portrait(rng).hair
        others = (portrait.hair, portrait.background, portrait.skin)
        two = at % 3 == 0 and min(delta_e_hex(second, other) for other in others) >= WRONG
        pixels = _in_two_tones(portrait, second, dipped=rng.random() < 0.5) if two else render_pixel(portrait)
        samples.append(_sample(portrait, pixels, two=two))
    return samples


def soft_renderings(count: int) -> list[Sample]:
    rng = np.random.default_rng(5)
    return [_sample(portrait, render_soft(portrait, rng)) for portrait in embedded_portraits(count, seed=8)]


def paintings(count: int) -> list[Sample]:
    """Images that the embedded model paints of captions, labelled by what they show.

    The model obeys mostly, and not always: of 200 every one shows the accessory that was asked for, and 97.5 % a
    background within ΔE00 5 of the one that was asked for. So the synthesis oracle of `embedded_model.py` says which
    background is there; everything else is labelled as it was asked for.
    """
    from embedded_model import paint, region_rgb, shown_by  # only here: it imports torch, the rest does without

    from pixel_lora_pipeline.embedded import load_pipeline

    pipeline = load_pipeline()
    pipeline.set_progress_bar_config(disable=True)
    portraits = embedded_portraits(count, seed=9)
    images = paint(pipeline, portraits, Console(stderr=True))
    samples = []
    for portrait, image in zip(portraits, images, strict=True):
        painted = np.rint(region_rgb(image, shown_by(image, portrait), "background")).astype(np.uint8)
        samples.append(replace(_sample(portrait, image), background=hex_of_rgb(painted)))
    return samples


def _sample(portrait: Portrait, pixels: Pixels, *, two: bool = False) -> Sample:
    worn: dict[str, str] = {}
    if portrait.accessory != "none":
        worn[portrait.accessory] = ACCESSORY_COLORS[portrait.accessory]
    absent = tuple(sorted({"crown", "sunglasses", "necklace"} - worn.keys()))
    return Sample(pixels, portrait.background, portrait.hair, two, portrait.skin, worn, absent)


def _in_two_tones(portrait: Portrait, second: str, *, dipped: bool) -> Pixels:
    hair = visible_regions(portrait)["hair"]
    rows, columns = np.nonzero(hair)
    part = np.zeros_like(hair)
    if dipped:
        part[round(np.percentile(rows, 60)) :] = True
    else:
        part[:, round(np.percentile(columns, 50)) :] = True
    other = render_pixel(replace(portrait, hair=second))
    return np.where((hair & part)[..., None], other, render_pixel(portrait))


def other_style(count: int) -> list[Sample]:
    samples = []
    names = {"hat", "crown", "glasses", "sunglasses", "necklace"}
    for seed in range(count):
        drawn = draw(seed)
        worn = {name: color for name, color in drawn.accessories.items() if drawn.visible.get(name, 0) > 1}
        if "sunglasses" in worn:  # "glasses" is said of them, too
            worn["glasses"] = worn["sunglasses"]
        hair = drawn.hair if drawn.visible.get("hair", 0) > LITTLE_HAIR else None
        two = hair is not None and drawn.second_hair is not None
        absent = tuple(sorted(names - drawn.accessories.keys() - worn.keys()))
        samples.append(Sample(drawn.pixels, drawn.background, hair, two, drawn.skin, worn, absent))
    return samples


@dataclass
class Tally:
    """What was seen of one style. Presences are by name of the accessory and whether its colour was named.

    `untold` counts answers of "cannot tell" to the same questions, which the presences leave out; under the name hair,
    those to its scores.
    """

    background: list[bool] = field(default_factory=list)
    skin: list[bool] = field(default_factory=list)
    hair: dict[bool, list[bool]] = field(default_factory=lambda: {False: [], True: []})
    top_third: dict[bool, list[bool]] = field(default_factory=lambda: {False: [], True: []})
    right: list[float] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)
    two_toned: dict[bool, list[bool]] = field(default_factory=lambda: {False: [], True: []})
    two_toned_by_spread: dict[bool, list[float]] = field(default_factory=lambda: {False: [], True: []})
    worn: dict[tuple[str, bool], list[float]] = field(default_factory=lambda: defaultdict(list))
    not_worn: dict[tuple[str, bool], list[float]] = field(default_factory=lambda: defaultdict(list))
    untold: dict[tuple[str, bool], list[bool]] = field(default_factory=lambda: defaultdict(list))


def observe(style: str, samples: Sequence[Sample]) -> Tally:
    tally = Tally()
    colors: dict[str, list[str]] = defaultdict(list)
    for sample in samples:
        for name, color in sample.accessories.items():
            colors[name].append(color)
    for at, sample in enumerate(track(samples, style, console=Console(stderr=True), transient=True)):
        pixels = DEGRADED[at % len(DEGRADED)](enlarged(sample.pixels, SCALE), at)
        measured = measure_image(pixels, sample.expectation())
        tally.background.append(is_close(measured.evidence["background"]["hex"], sample.background, 5.0))
        tally.skin.append(is_close(measured.evidence["skin"], sample.skin, 10.0))
        if sample.hair is not None:
            _observe_hair(tally, sample, measured, pixels, samples[(at + 7) % len(samples)].hair)
        unnamed = sample.expectation(accessories=dict.fromkeys((*sample.accessories, *sample.absent)))
        named = sample.expectation(accessories={**sample.accessories, **_typical_colors(sample, colors, at)})
        without, with_color = measure_image(pixels, unnamed), measure_image(pixels, named)
        for name in sample.accessories:
            _note(tally, tally.worn, (name, True), measured)
            _note(tally, tally.worn, (name, False), without)
        for name in sample.absent:
            _note(tally, tally.not_worn, (name, False), without)
            if named.accessories.get(name) is not None:
                _note(tally, tally.not_worn, (name, True), with_color)
    return tally


def _typical_colors(sample: Sample, colors: Mapping[str, Sequence[str]], at: int) -> dict[str, str]:
    """For each accessory not worn the colour that another sample has it in, if nothing worn is of that colour."""
    typical = {name: colors[name][at % len(colors[name])] for name in sample.absent if colors[name]}
    return {
        name: color
        for name, color in typical.items()
        if all(delta_e_hex(color, worn) >= WRONG for worn in sample.accessories.values())
    }


def _observe_hair(tally: Tally, sample: Sample, measured: ImageMeasurement, pixels: Pixels, other: str | None) -> None:
    tones = [tone["hex"] for tone in measured.evidence["hair"]]
    # Of two tones, either may be the larger.
    candidates = tones if sample.is_two_toned else tones[:1]
    tally.hair[sample.has_hat].append(any(is_close(tone, sample.hair, 10.0) for tone in candidates))
    tally.top_third[sample.has_hat].append(is_close(top_third_color(pixels), sample.hair, 10.0))
    tally.two_toned[sample.is_two_toned].append(bool(measured.color_accuracy["hair_is_two_toned"]))
    tally.two_toned_by_spread[sample.is_two_toned].append(float(pixels[: pixels.shape[0] // 3].std(axis=(0, 1)).mean()))
    if other is None or sample.hair is None or delta_e_hex(other, sample.hair) <= WRONG:
        return
    right = measured.color_accuracy["hair_color_accuracy"]
    wrong = measure_image(pixels, sample.expectation(hair=other)).color_accuracy["hair_color_accuracy"]
    for score, scores in ((right, tally.right), (wrong, tally.wrong)):
        tally.untold["hair", True].append(score is None)
        if score is not None:
            scores.append(score)


def _note(
    tally: Tally, presences: dict[tuple[str, bool], list[float]], key: tuple[str, bool], measured: ImageMeasurement
) -> None:
    presence = measured.evidence["accessories"].get(key[0], {}).get("presence")
    tally.untold[key].append(presence is None)
    if presence is not None:
        presences[key].append(presence)


def is_close(found: str | None, wanted: str | None, limit: float) -> bool:
    return found is not None and wanted is not None and delta_e_hex(found, wanted) <= limit


def top_third_color(pixels: Pixels) -> str:
    """The roadmap's first sketch of the colour of the hair."""
    top = pixels[: pixels.shape[0] // 3].reshape(-1, 3)
    colors, counts = np.unique(top, axis=0, return_counts=True)
    return hex_of_rgb(colors[np.argmax(counts)])


def color_rows(folder: Path | None, every: int = 1, painted: int = 0) -> list[Row]:
    """All figures; without a folder, those of the drawn styles; with `painted`, of that many generated images."""
    count = -(-PORTRAITS // every)
    styles = {
        "embedded, pixel art": pixel_renderings(count),
        "embedded, soft": soft_renderings(count),
        "other style": other_style(2 * count),
    }
    if folder is not None:
        styles = {"DiceBear": labelled_sprites(folder, every), **styles}
    if painted:
        styles["embedded, painted"] = paintings(painted)
    rows: list[Row] = []
    for style, samples in styles.items():
        rows += _rows(style, observe(style, samples))
    return rows


def _rows(style: str, tally: Tally) -> list[Row]:
    rows = [
        Row(f"{style}: background ≤ 5 ΔE00", *mean_of(tally.background), *BACKGROUND, len(tally.background)),
        Row(f"{style}: skin ≤ 10 ΔE00", *mean_of(tally.skin), None, None, len(tally.skin)),
    ]
    for has_hat, limits in ((False, HAIR), (True, HAIR_WITH_HAT)):
        hits = tally.hair[has_hat]
        if hits:
            sketch = {"top third": float(np.mean(tally.top_third[has_hat]))}
            name = f"{style}: hair ≤ 10 ΔE00, {'with' if has_hat else 'no'} hat"
            rows.append(Row(name, *mean_of(hits), *limits, len(hits), sketch))
    count = len(tally.right) + len(tally.wrong)
    rows.append(Row(f"{style}: right against wrong hair, AUC", *auc(tally.right, tally.wrong), *WRONG_HEX, count,
                    _untold(tally, ("hair", True))))  # fmt: skip
    two, one = tally.two_toned[True], tally.two_toned[False]
    if two:
        spread = auc(tally.two_toned_by_spread[True], tally.two_toned_by_spread[False])[0]
        balanced = interval_of(lambda yes, no: float((np.mean(yes) + 1.0 - np.mean(no)) / 2.0), two, one)
        name = f"{style}: two-toned hair, balanced accuracy"
        rows.append(Row(name, *balanced, *TWO_TONED, len(two) + len(one), {"deviation in top third (AUC)": spread}))
    else:
        rows.append(Row(f"{style}: one-toned hair not called two-toned", *mean_of([not hit for hit in one]),
                        None, None, len(one)))  # fmt: skip
    for name, has_color in sorted(tally.worn):
        there, missing = tally.worn[name, has_color], tally.not_worn[name, has_color]
        if there and missing:
            how = "in its colour" if has_color else "without a colour"
            limits = NAMED if has_color else UNNAMED
            count = len(there) + len(missing)
            rows.append(Row(f"{style}: {name} {how}, AUC", *auc(there, missing), *limits, count,
                            _untold(tally, (name, has_color))))  # fmt: skip
    return rows


def _untold(tally: Tally, key: tuple[str, bool]) -> dict[str, float]:
    """The share of answers of "cannot tell", which the area under the curve leaves out, to stand beside it."""
    return {"cannot tell": float(np.mean(tally.untold[key]))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="labelled sprites: PNG files and labels.json")
    parser.add_argument("--every", type=int, default=1, help="use only each n-th portrait")
    parser.add_argument("--painted", type=int, default=0, help="as many images painted by the embedded model")
    arguments = parser.parse_args()
    table = Table("figure", "value (95 %)", "must", "stretch", "n", "other methods")
    for row in color_rows(arguments.folder, arguments.every, arguments.painted):
        limits = ("" if limit is None else f"{limit:g}" for limit in (row.must, row.stretch))
        others = ", ".join(f"{name} {value:.3f}" for name, value in row.references.items())
        table.add_row(row.name, f"{row.value:.3f} ({row.low:.3f}-{row.high:.3f})", *limits, str(row.n), others)
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
