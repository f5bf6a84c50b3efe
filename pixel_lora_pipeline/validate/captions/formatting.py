"""Whether captions are written down alike: characters, spaces, separators, case."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from pixel_lora_pipeline.validate.captions.caption import Caption
from pixel_lora_pipeline.validate.captions.check import Check, Edit, Example, Hit
from pixel_lora_pipeline.validate.captions.corpus import USUAL, Corpus
from pixel_lora_pipeline.validate.captions.examples import GOOD, RIGHT, changed

# Zero-width characters, byte order marks, soft hyphens, marks of direction, and control characters but for the tab.
_INVISIBLE: Final = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
# What word processors and keyboards of other languages write for the characters of captions.
_TYPOGRAPHIC: Final = {
    "\N{LEFT SINGLE QUOTATION MARK}": "'", "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": '"', "\N{RIGHT DOUBLE QUOTATION MARK}": '"',
    "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{NON-BREAKING HYPHEN}": "-", "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{IDEOGRAPHIC COMMA}": ",", "\N{ARABIC COMMA}": ",",
}  # fmt: skip
_ODD: Final = re.compile(
    "[" + "".join(_TYPOGRAPHIC) + "\u00a0\u2000-\u200a\u202f\u205f\u3000\uff01-\uff5e]+|[^\\W_]?[^\x00-\x7f]+"
)
_SPACES: Final = re.compile(r"^[ \t]+|[ \t]+$|[ \t]{2,}|\t")
_ESCAPED: Final = "\\"


def _invisible(corpus: Corpus) -> Iterator[Hit]:
    for caption in corpus.captions:
        found = list(_INVISIBLE.finditer(caption.text))
        if found:
            names = {unicodedata.name(match.group(), f"U+{ord(match.group()):04X}") for match in found}
            yield Hit(
                (caption.name,),
                {"names": ", ".join(sorted(names))},
                tuple(Edit(*match.span(), "") for match in found),
            )


def _typographic(corpus: Corpus) -> Iterator[Hit]:
    for caption in corpus.captions:
        edits = [
            Edit(*match.span(), plain)
            for match in ([] if caption.text.isascii() else _ODD.finditer(caption.text))
            if (plain := _plain(match.group())) != match.group()
        ]
        if edits:
            odd = ", ".join(sorted({repr(caption.text[edit.start : edit.end]) for edit in edits}))
            yield Hit((caption.name,), {"odd": odd}, tuple(edits))


def _plain(text: str) -> str:
    """Composed letters, and ASCII for what is a variant of it."""
    replaced = "".join(_TYPOGRAPHIC.get(letter) or (" " if letter.isspace() else _narrow(letter)) for letter in text)
    return unicodedata.normalize("NFC", replaced)


def _narrow(letter: str) -> str:
    return unicodedata.normalize("NFKC", letter) if "\uff01" <= letter <= "\uff5e" else letter


def _spacing(corpus: Corpus) -> Iterator[Hit]:
    gap = _usual_gap(corpus)
    for caption in corpus.written:
        edits = list(_space_edits(caption, _separator(corpus, caption), gap))
        if edits:
            yield Hit((caption.name,), {}, tuple(edits))


def _usual_gap(corpus: Corpus) -> str | None:
    """What most captions have behind a separator, a space or nothing; None if they are mixed."""
    with_space = without = 0
    for caption in corpus.written:
        separator = _separator(corpus, caption)
        with_space += caption.text.count(f"{separator} ")
        without += len(re.findall(rf"{re.escape(separator)}(?=\S)", caption.text))
    total = with_space + without
    if total == 0:
        return None
    return " " if with_space >= USUAL * total else "" if without >= USUAL * total else None


def _separator(corpus: Corpus, caption: Caption) -> str:
    return corpus.by_name[caption.name].options.caption_separator.strip() or ","


def _space_edits(caption: Caption, separator: str, gap: str | None) -> Iterator[Edit]:
    text = caption.text
    around = re.compile(rf"[ \t]*{re.escape(separator)}[ \t]*")
    taken: list[tuple[int, int]] = []
    for match in around.finditer(text):
        before, after = match.start(), match.end()
        taken.append((before, after))
        behind = match.group().partition(separator)[2]
        wanted = separator + (" " if behind else "") if gap is None else separator + gap
        if text[after : after + 1] in ("", separator):  # what is doubled or ends is another check's
            wanted = separator + behind if after < len(text) else separator
        if match.group() != wanted:
            yield Edit(before, after, wanted)
    for match in _SPACES.finditer(text):
        if not any(start < match.end() and match.start() < end for start, end in taken):
            inner = match.start() > 0 and match.end() < len(text)
            yield Edit(*match.span(), " " if inner else "")


def _loose_separators(corpus: Corpus) -> Iterator[Hit]:
    for caption in corpus.written:
        separator = re.escape(_separator(corpus, caption))
        ends = rf"^[ \t]*(?:{separator}[ \t]*)+|(?:[ \t]*{separator})+[ \t]*$"
        found = re.finditer(rf"{ends}|{separator}(?:[ \t]*{separator})+", caption.text)
        edits = tuple(Edit(*match.span(), _one_separator(match, caption, corpus)) for match in found)
        if edits:
            yield Hit((caption.name,), {}, edits)


def _one_separator(match: re.Match[str], caption: Caption, corpus: Corpus) -> str:
    inner = match.start() > 0 and match.end() < len(caption.text)
    return _separator(corpus, caption) if inner else ""


def _other_separators(corpus: Corpus) -> Iterator[Hit]:
    for sign, pattern in (
        (";", r"[ \t]*;[ \t]*(?!$)"),
        ("|", r"(?<!\|)[ \t]*\|[ \t]*(?!\|)(?!$)"),
        ("/", r"[ \t]+/[ \t]+"),
        (".", r"(?<=[^\W_])\.(?=[ \t]+\S)|(?<=[^\W_])\.[ \t]*$"),
        ("•", r"[ \t]*•[ \t]*"),
    ):
        having = [caption for caption in corpus.written if re.search(pattern, caption.text)]
        if not corpus.is_usual(len(corpus.written) - len(having)):
            continue
        for caption in having:
            matches = list(re.finditer(pattern, caption.text))
            edits = tuple(
                Edit(*match.span(), _instead(match, caption, _separator(corpus, caption))) for match in matches
            )
            yield Hit((caption.name,), {"sign": sign, "separator": _separator(corpus, caption)}, edits)


def _instead(match: re.Match[str], caption: Caption, separator: str) -> str:
    if not caption.text[match.end() :].strip():
        return ""
    return separator if caption.text[match.end()] in " \t" else f"{separator} "


def _letter_case(corpus: Corpus) -> Iterator[Hit]:
    capitals = {
        caption.name: [word for word in caption.words if word.text != word.text.lower()] for caption in corpus.written
    }
    having = sum(bool(words) for words in capitals.values())
    if not corpus.is_usual(len(corpus.written) - having):
        return
    for caption in corpus.written:
        triggers = [] if corpus.trigger is None else corpus.trigger.places(caption)
        words = [
            word
            for word in capitals[caption.name]
            if not any(place.start <= word.start < place.end for place in triggers)
        ]
        if words:
            edits = tuple(Edit(word.start, word.end, word.text.lower()) for word in words)
            yield Hit((caption.name,), {"words": ", ".join(word.text for word in words[:5])}, edits)


def _underscores(corpus: Corpus) -> Iterator[Hit]:
    pattern = re.compile(r"(?<=[^\W_])_+(?=[^\W_]|\#)")
    having = [caption for caption in corpus.written if pattern.search(caption.text)]
    if corpus.is_usual(len(corpus.written) - len(having)):
        for caption in having:
            known = {word for word in re.findall(r"\S+", caption.text) if corpus.trigger and "_" in corpus.trigger.text}
            edits = tuple(Edit(*match.span(), " ") for match in pattern.finditer(caption.text) if not known)
            yield Hit((caption.name,), {"sign": "underscores", "usual": "spaces"}, edits)


CHECKS: Final = (
    Check(
        "invisible-characters",
        "warning",
        "There are characters that nobody sees and every tokenizer reads: {names}.",
        "safe",
        GOOD,
        (Example("\ufeff" + RIGHT), changed("pink hair", "pink\u200b hair"), changed("smile", "smi\u00adle")),
        _invisible,
    ),
    Check(
        "typography",
        "warning",
        "There are characters that look like plain ones and are others: {odd}.",
        "safe",
        (*GOOD, changed("portrait", "portrait of Zoë")),
        (
            changed("pink hair", "pink\u00a0hair"),
            changed("smile", "\u2018smile\u2019"),
            changed("portrait, pink", "portrait\uff0cpink"),
            changed("portrait", "portrait of Zoe\u0308"),
        ),
        _typographic,
    ),
    Check(
        "spacing",
        "warning",
        "There are spaces too many or too few.",
        "safe",
        (*GOOD, Example(RIGHT + "\n")),
        (
            changed("pink hair", "pink  hair"),
            changed("portrait, pink", "portrait,pink"),
            changed("portrait, pink", "portrait , pink"),
            changed("pink hair", "pink\thair"),
            Example(f" {RIGHT}"),
            Example(f"{RIGHT}  "),
        ),
        _spacing,
    ),
    Check(
        "loose-separator",
        "warning",
        "There are separators with nothing between them, or at an end.",
        "safe",
        GOOD,
        (changed("portrait, pink", "portrait,, pink"), Example(RIGHT + ","), Example(", " + RIGHT)),
        _loose_separators,
    ),
    Check(
        "other-separator",
        "warning",
        "{sign!r} separates tags here, and {separator!r} does in the other captions.",
        "suggested",
        GOOD,
        (changed("portrait, pink", "portrait; pink"), changed("smile, ", "smile. "), Example(RIGHT + " end.")),
        _other_separators,
    ),
    Check(
        "letter-case",
        "warning",
        "There are capitals, and other captions have none: {words}.",
        "suggested",
        GOOD,
        (changed("smile", "Smile"), changed("pink hair", "PINK HAIR")),
        _letter_case,
    ),
    Check(
        "underscores",
        "warning",
        "Words are joined by {sign}, and by {usual} in the other captions.",
        "suggested",
        GOOD,
        (changed("pink hair", "pink_hair"),),
        _underscores,
    ),
)
