"""A caption taken apart: tags, words and colour codes, each with its place in the text."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pixel_lora_pipeline.validate.expectation import Expectation, parse_expectation

CODE: Final = "#"
"""Stands for any colour code where captions are compared."""

# A "#" with what was typed after it, or six hex digits without one, of which parse_expectation knows that they are
# a colour by a digit among them.
_CODE: Final = re.compile(
    r"\#+[ \t]?(?!\d{1,2}\b)[^\W_]+"
    r"|(?<!\w)0x[0-9a-f]{3,8}(?!\w)"
    r"|(?<!\w)(?=[a-f]*\d)(?=\d*[a-f])[0-9a-f]{5,7}(?!\w)",
    re.IGNORECASE,
)
_SPACED: Final = re.compile(r"\#+[ \t](?!(?:0x)?(?:[0-9a-f]{6}|[0-9a-f]{3})(?!\w))", re.IGNORECASE)
_WELL_FORMED: Final = re.compile(r"\#(?:[0-9a-f]{6}|[0-9a-f]{8})", re.IGNORECASE)
_MEANT: Final = re.compile(r"\#*[ \t]?(?:0x)?([0-9a-f]{8}|[0-9a-f]{6}|[0-9a-f]{3})", re.IGNORECASE)
_WORD: Final = re.compile(r"[^\W\d_][^\W_]*(?:'[^\W\d_]+)?", re.UNICODE)
_SPACE: Final = re.compile(r"[\s_]+")
_EMPHASIS: Final = re.compile(r"[()\[\]{}\\]|:\s*-?\d+(?:\.\d+)?(?=[)\]])")


@dataclass(frozen=True)
class Piece:
    """Part of a caption: its text and where it stands."""

    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Code(Piece):
    """What is, or was meant to be, a colour code.

    Attributes
    ----------
    hex
        `#rrggbb` in lower case; None if it is no colour.
    is_well_formed
        Whether it is written in full, as `#rrggbb` or `#rrggbbaa`.
    """

    hex: str | None
    is_well_formed: bool


@dataclass(frozen=True)
class Tag(Piece):
    """What stands between two separators, without the space around it.

    Attributes
    ----------
    form
        In lower case, each code replaced by `CODE`, emphasis and underscores removed: what tags are compared by.
    codes
        The colours in it.
    """

    form: str
    codes: tuple[Code, ...]

    @property
    def asks_for(self) -> Expectation:
        """What the tag says of colours, with `#000001`, `#000002`, … in place of its codes."""
        return _read_form(self.form)

    def color_of(self, stated: str | None) -> str | None:
        """The colour itself, of one that `asks_for` names; None if its code is no colour."""
        if stated is not None and stated.startswith("#0000") and 0 < int(stated[1:], 16) <= len(self.codes):
            return self.codes[int(stated[1:], 16) - 1].hex
        return stated


@dataclass(frozen=True)
class Caption:
    """A caption as the checks see it.

    Attributes
    ----------
    name
        Of its file.
    text
        The first line: all that a training reads.
    rest
        What follows it in the file.
    """

    name: str
    text: str
    rest: str
    tags: tuple[Tag, ...]
    words: tuple[Piece, ...]
    codes: tuple[Code, ...]

    @property
    def forms(self) -> tuple[str, ...]:
        """The forms of its tags."""
        return tuple(tag.form for tag in self.tags)


def read_caption(name: str, text: str, separator: str = ",", keep_separator: str | None = None) -> Caption:
    """Take a caption apart.

    Parameters
    ----------
    text
        Of the whole file.
    separator, keep_separator
        What stands between tags, and between those that are kept in place and the others.
    """
    line, end, rest = _first_line(text)
    return _Taken(*_taken_apart(line, separator, keep_separator)).as_caption(name, line, end + rest)


@dataclass(frozen=True)
class _Taken:
    tags: tuple[Tag, ...]
    words: tuple[Piece, ...]
    codes: tuple[Code, ...]

    def as_caption(self, name: str, line: str, rest: str) -> Caption:
        return Caption(name, line, rest, self.tags, self.words, self.codes)


def _first_line(text: str) -> tuple[str, str, str]:
    """As Python reads lines of a file: it ends at a line feed or a carriage return, and at nothing else."""
    match = re.search(r"\r\n|\n|\r", text)
    return (text, "", "") if match is None else (text[: match.start()], match.group(), text[match.end() :])


@lru_cache(maxsize=32_768)
def _taken_apart(
    text: str, separator: str, keep_separator: str | None
) -> tuple[tuple[Tag, ...], tuple[Piece, ...], tuple[Code, ...]]:
    codes = tuple(_codes(text))
    ends = "|".join(re.escape(each) for each in (keep_separator, separator) if each)
    bounds = [0, *(place for match in re.finditer(ends, text) for place in match.span()), len(text)]
    tags = tuple(
        tag
        for start, end in zip(bounds[::2], bounds[1::2], strict=True)
        if (tag := _tag(text, start, end, codes)) is not None
    )
    words = tuple(
        Piece(match.group(), match.start(), match.end())
        for match in _WORD.finditer(_without(text, codes))
        if not any(map(str.isdigit, match.group()))
    )
    return tags, words, codes


def _codes(text: str) -> list[Code]:
    found = []
    for match in _CODE.finditer(text):
        if _SPACED.match(match.group()):  # "# 1 artist": a sign of its own
            continue
        meant = _MEANT.fullmatch(match.group())
        digits = "" if meant is None else meant[1].lower()
        if len(digits) == 3:
            digits = "".join(2 * digit for digit in digits)
        well_formed = _WELL_FORMED.fullmatch(match.group()) is not None
        found.append(Code(match.group(), *match.span(), f"#{digits[:6]}" if digits else None, well_formed))
    return found


def _without(text: str, codes: tuple[Code, ...]) -> str:
    """The text with blanks in place of its codes, so that places stay."""
    for code in codes:
        text = text[: code.start] + " " * (code.end - code.start) + text[code.end :]
    return text


def _tag(text: str, start: int, end: int, codes: tuple[Code, ...]) -> Tag | None:
    inside = text[start:end]
    start, end = start + len(inside) - len(inside.lstrip()), end - (len(inside) - len(inside.rstrip()))
    if start >= end:
        return None
    own = tuple(code for code in codes if start <= code.start and code.end <= end)
    form, at = "", start
    for code in own:
        form += text[at : code.start] + CODE
        at = code.end
    return Tag(text[start:end], start, end, plain_form(form + text[at:end]), own)


def plain_form(text: str) -> str:
    """A tag in lower case, without emphasis, underscores, accents in two characters, or more than single spaces."""
    return _SPACE.sub(" ", _EMPHASIS.sub("", unicodedata.normalize("NFC", text).lower())).strip()


@lru_cache(maxsize=32_768)
def _read_form(form: str) -> Expectation:
    """Each tag of a form is read once: the reading costs a millisecond, and captions repeat each other."""
    numbers = iter(range(1, len(form) + 1))
    return parse_expectation(re.sub(CODE, lambda _: f"#{next(numbers):06x}", form))
