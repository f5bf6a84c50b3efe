"""Colour codes: enough of them, all of them colours, and all of them in the picture."""

import re
from collections.abc import Iterator
from typing import Final

from pixel_lora_pipeline.validate.captions.caption import Caption, Code
from pixel_lora_pipeline.validate.captions.check import Check, Edit, Hit
from pixel_lora_pipeline.validate.captions.corpus import USUAL, Corpus
from pixel_lora_pipeline.validate.captions.edit_distance import edit_distance
from pixel_lora_pipeline.validate.captions.examples import GOOD, changed
from pixel_lora_pipeline.validate.captions.picture_colors import PictureColors

# From this difference (CIEDE2000) on, a code is a clearly different shade of what is in the picture, see
# `palette_drift`: it names a colour that is not there.
_ABSENT: Final = 5.0
# Share of a dataset's codes that are exactly those of the pictures, from which on the others are slips.
_EXACT: Final = 0.95
_FEWEST_CODES: Final = 20
# A picture of more colours is none of a palette, and among so many every slip finds one that it could have been.
_MOST_COLORS: Final = 256
_STUCK: Final = re.compile(r"(#[0-9a-f]{6})([^\W\d_]{2,})", re.IGNORECASE)


def _too_few(corpus: Corpus) -> Iterator[Hit]:
    wanted = corpus.rules.minimum_hex_codes
    short = [caption for caption in corpus.written if len(caption.codes) < wanted]
    if not short:
        return
    if len(short) > len(corpus.written) / 2:  # that is how this dataset is captioned: said once
        said = f"{len(short)} of {len(corpus.captions)} captions have fewer"
        does_without = corpus.n_with_codes <= len(corpus.written) / 2
        names = tuple(caption.name for caption in short)
        yield Hit(names, {"wanted": wanted, "said": said}, severity="warning" if does_without else "error")
        return
    for caption in short:
        yield Hit((caption.name,), {"wanted": wanted, "said": f"the caption has {len(caption.codes)}"})


def _invalid(corpus: Corpus) -> Iterator[Hit]:
    for caption in corpus.written:
        colors = corpus.by_name[caption.name].colors
        for code in caption.codes:
            if code.hex is None:
                meant = _meant_by(code, colors)
                edits = () if meant is None else (Edit(code.start, code.end, _in_case_of(caption, meant)),)
                hint = f" {meant} is in the picture." if meant else ""
                yield Hit((caption.name,), {"code": code.text, "hint": hint}, edits)


def _meant_by(code: Code, colors: PictureColors | None) -> str | None:
    """The one colour of the picture that the code would be but for a slip; None if there is none, or several."""
    if colors is None or len(colors.rgb) > _MOST_COLORS:
        return None
    stuck = _STUCK.fullmatch(code.text)
    if stuck is not None and colors.has(stuck[1].lower()):
        return f"{stuck[1].lower()} {stuck[2]}"
    typed = code.text.lstrip("# ").lower()
    return _one_slip_away(typed, colors)


def _one_slip_away(typed: str, colors: PictureColors) -> str | None:
    near = [color for color in colors.hexes if edit_distance(typed, color[1:], 1) == 1]
    return near[0] if len(near) == 1 else None


def _badly_formed(corpus: Corpus) -> Iterator[Hit]:
    upper = _upper_case_is_usual(corpus)
    for caption in corpus.written:
        colors = corpus.by_name[caption.name].colors
        for code in caption.codes:
            if code.hex is None or (not code.text.startswith("#") and colors is not None and not colors.has(code.hex)):
                continue  # bare letters and digits that are no colour of the picture may be anything
            wanted = code.text if code.is_well_formed else code.hex
            if upper is not None:
                wanted = wanted.upper() if upper else wanted.lower()
            if wanted != code.text:
                yield Hit((caption.name,), {"code": code.text, "wanted": wanted}, (Edit(code.start, code.end, wanted),))


def _upper_case_is_usual(corpus: Corpus) -> bool | None:
    """Whether the dataset's codes are in upper case; None if they are mixed."""
    cases = [code.text.isupper() for caption in corpus.written for code in caption.codes if _has_letters(code.text)]
    if not cases:
        return None
    share = sum(cases) / len(cases)
    return True if share >= USUAL else False if share <= 1 - USUAL else None


def _has_letters(text: str) -> bool:
    return any(letter.isalpha() for letter in text)


def _in_case_of(caption: Caption, color: str) -> str:
    """A code in the case that the caption's others are in."""
    others = [code.text for code in caption.codes if code.is_well_formed and _has_letters(code.text)]
    head, space, rest = color.partition(" ")
    return (head.upper() if others and all(each.isupper() for each in others) else head) + space + rest


def _absent(corpus: Corpus) -> Iterator[Hit]:
    for caption, code, colors in _checked_codes(corpus):
        assert code.hex is not None  # noqa: S101 - as chosen
        nearest, distance = colors.nearest(code.hex)
        if distance <= _ABSENT:
            continue
        meant = _one_slip_away(code.hex[1:], colors) if len(colors.rgb) <= _MOST_COLORS else None
        edits = () if meant is None else (Edit(code.start, code.end, _in_case_of(caption, meant)),)
        yield Hit((caption.name,), {"code": code.text, "nearest": nearest, "distance": f"{distance:.0f}"}, edits)


def _inexact(corpus: Corpus) -> Iterator[Hit]:
    checked = [sum(1 for code in caption.codes if code.hex) for caption in corpus.written if _colors(corpus, caption)]
    inexact = list(_checked_codes(corpus))
    if sum(checked) < _FEWEST_CODES or len(inexact) > (1 - _EXACT) * sum(checked):
        return
    for caption, code, colors in inexact:
        assert code.hex is not None  # noqa: S101 - as chosen
        nearest, distance = colors.nearest(code.hex)
        if distance <= _ABSENT:
            edit = Edit(code.start, code.end, _in_case_of(caption, nearest))
            yield Hit((caption.name,), {"code": code.text, "nearest": nearest}, (edit,))


def _checked_codes(corpus: Corpus) -> Iterator[tuple[Caption, Code, PictureColors]]:
    """The codes that are not exactly colours of their pictures."""
    for caption in corpus.written:
        colors = _colors(corpus, caption)
        if colors is None:
            continue
        exact = set(colors.hexes) if len(colors.rgb) <= _MOST_COLORS else None
        for code in caption.codes:
            if code.hex is None or not code.text.startswith("#"):
                continue
            if not (code.hex in exact if exact is not None else colors.has(code.hex)):
                yield caption, code, colors


def _colors(corpus: Corpus, caption: Caption) -> PictureColors | None:
    return corpus.by_name[caption.name].colors


CHECKS: Final = (
    Check(
        "hex-count",
        "error",
        "{wanted} colour codes are wanted; {said}.",
        "never",
        GOOD,
        (changed(", palette #1b1b1f #8a8a8f #7a4a26 #d62828 #1fa6a0", ""),),
        _too_few,
    ),
    Check(
        "hex-invalid",
        "error",
        "{code} is no colour: it takes # and six digits of 0-9 and a-f.{hint}",
        "suggested",
        GOOD,
        (
            changed("#ff69b4", "#ff69bg"),
            changed("#ff69b4", "#ff69b"),
            changed("#ff69b4", "#ff69b44"),
            changed("#ff69b4", "#ffb4"),
            changed("#ffd700", "#ffd7oo"),
            changed("#2e9e44, light", "#2e9e44light"),
        ),
        _invalid,
    ),
    Check(
        "hex-form",
        "warning",
        "{code} is written otherwise than the other codes: {wanted}.",
        "safe",
        (*GOOD, changed("pixel art portrait", "pixel art portrait of 1920")),
        (
            changed("#ff69b4", "#FF69B4"),
            changed("#ff69b4", "ff69b4"),
            changed("#ff69b4", "# ff69b4"),
            changed("#ff69b4", "##ff69b4"),
            changed("#ff69b4", "0xff69b4"),
            changed("#1b1b1f", "#fff"),
        ),
        _badly_formed,
    ),
    Check(
        "hex-absent",
        "error",
        "{code} is not in the picture; its nearest colour there is {nearest}, {distance} away (CIEDE2000).",
        "suggested",
        GOOD,
        (changed("#ff69b4", "#12c4b0"),),
        _absent,
    ),
    Check(
        "hex-inexact",
        "warning",
        "{code} is not exactly in the picture, as the codes of this dataset are: {nearest} is.",
        "suggested",
        GOOD,
        (changed("#ff69b4", "#ff69b5"),),
        _inexact,
    ),
)
