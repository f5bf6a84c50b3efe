"""What a prompt or caption asks to see: colours of regions and accessories, as hex codes."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from pixel_lora_pipeline.validate.caption_words import (
    ACCESSORY_NOUNS,
    COMPOUND_HEADS,
    CONNECTING,
    DENYING_TAILS,
    DESCRIPTIVE,
    END_OF_NEGATION,
    FILLERS_AFTER,
    HAIR_PEOPLE,
    JOINING,
    NEGATIONS,
    NO_NOUNS,
    OTHER_NOUNS,
    REGION_NOUNS,
    TWO_TONED,
)
from pixel_lora_pipeline.validate.colorspace import (
    delta_e_hex,
    hex_of_rgb,
    is_shade_of,
    oklab_of_rgb,
    rgb_of_hex,
    rgb_of_oklab,
)
from pixel_lora_pipeline.validate.named_colors import NAMED_COLORS, hex_of_color_word, hex_of_skin_word

REGIONS: Final = ("background", "hair", "second_hair", "skin", "lips")


@dataclass(frozen=True)
class Expectation:
    """Colours that an image should have; None or absent: the prompt does not say.

    Attributes
    ----------
    background, hair, skin, lips : str or None
        `#rrggbb`.
    second_hair : str or None
        The other colour of hair that is to have two ("pink and blue hair", "blonde hair with red tips").
    accessories : mapping of str to (str or None)
        What must be there (crown, sunglasses, glasses, necklace, hat) and in which colour.
    unknown : list of str
        Words and contradictions about colours and regions that could not be resolved, for a person to read.
    """

    background: str | None = None
    hair: str | None = None
    skin: str | None = None
    lips: str | None = None
    accessories: Mapping[str, str | None] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)
    second_hair: str | None = None

    def __bool__(self) -> bool:
        """Whether anything at all is expected."""
        return any(getattr(self, region) for region in REGIONS) or bool(self.accessories)

    def to_dict(self) -> dict[str, Any]:
        """What is expected, without what is not: for JSON and for hashing."""
        named: dict[str, Any] = {region: getattr(self, region) for region in REGIONS if getattr(self, region)}
        if self.accessories:
            named["accessories"] = dict(sorted(self.accessories.items()))
        return named


# What "dark" and "light" do to a colour word, in OKLab: mixed with black or white.
_DARKER: Final = frozenset({"dark", "deep"})
_LIGHTER: Final = frozenset({"light", "pale", "pastel"})
_DARKER_MIX: Final = 0.25
_LIGHTER_MIX: Final = 0.4
# A word and a hex further apart than this (ΔE00) contradict each other: the hex counts, and it is said.
_CONTRADICTION: Final = 40.0

_BREAK: Final = re.compile(r"\bBREAK\b")
_LORA_TAG: Final = re.compile(r"<[^<>]*>")
_WEIGHT: Final = re.compile(r":\s*-?\d+(?:\.\d+)?\s*(?=[)\]])")
_TWO_WORDS: Final = re.compile(r"\b(sun|eye) glasses\b")
_HYPHENATED: Final = re.compile(r"\b([a-z]+)-([a-z]+)\b(?!-)")
_MIXED: Final = "~"
_CLAUSE_END: Final = re.compile(r"[,;.\n|]+(?!\d)")
_TOKEN: Final = re.compile(r"#[0-9a-z]+|[a-z0-9'~]+")
_HEX: Final = re.compile(r"#?([0-9a-f]{6}|[0-9a-f]{8}|[0-9a-f]{3})")


class _Color(NamedTuple):
    hex: str
    is_code: bool
    text: str


class _Noun(NamedTuple):
    kind: Literal["region", "accessory", "other"]
    name: str


class _Item(NamedTuple):
    """A token of a clause with what it can mean; `skin` is its meaning next to the word skin."""

    text: str
    color: _Color | None = None
    noun: _Noun | None = None
    skin: _Color | None = None


def parse_expectation(caption: str) -> Expectation:
    """Read the expected colours out of a prompt or training caption.

    Understands hex codes and colour words before or after their noun ("hair #ff69b4", "pink hair",
    "#ff69b4 hair", "pink hair #ff69b4": the hex wins), tags with underscores, emphasis such as
    "(pink hair:1.3)", LoRA tags, "dark blue", "blue-grey", and negations ("no crown"). Words about anything else are
    ignored; words where a colour should be that are none are reported in `unknown`, as are contradictions.

    Notes
    -----
    A region has one colour: of several, the first counts. Only hair can be asked for in two. "Dark hair" names no
    colour and is reported.
    """
    text = _LORA_TAG.sub(" ", _BREAK.sub(",", caption).lower().replace("\\", ""))
    text = _WEIGHT.sub(" ", text).replace("_", " ")
    text = _HYPHENATED.sub(_mixture, text).replace("-", " ")
    text = _TWO_WORDS.sub(r"\1glasses", text)
    findings = _Findings()
    for clause in _CLAUSE_END.split(text):
        _read_clause(clause, findings)
    return findings.expectation()


class _Findings:
    """Colours collected for each region and accessory, in the order of the caption."""

    def __init__(self) -> None:
        self.colors: dict[str, list[_Color]] = {}
        self.accessories: dict[str, list[_Color]] = {}
        self.suspects: dict[str, list[str]] = {}

    def expectation(self) -> Expectation:
        unknown: list[str] = []
        self._take_second_hair()
        for name, suspects in self.suspects.items():
            if not (self.colors.get(name) or self.accessories.get(name)):
                unknown.extend(suspects)
        regions = {name: _resolve(name, colors, unknown) for name, colors in self.colors.items()}
        accessories = {name: _resolve(name, colors, unknown) for name, colors in self.accessories.items()}
        return Expectation(**regions, accessories=accessories, unknown=unknown)

    def _take_second_hair(self) -> None:
        """A colour of tips or streaks is no second colour where the hair has no first, or the same."""
        hair, second = self.colors.get("hair"), self.colors.get("second_hair")
        if second and (not hair or second[0].hex == hair[0].hex):
            del self.colors["second_hair"]


def _read_clause(clause: str, findings: _Findings) -> None:
    items = _items(_TOKEN.findall(clause))
    nouns = [at for at, item in enumerate(items) if item.noun is not None]
    negated = _negated(items)
    claims = _claims(items, nouns)
    for at in nouns:
        noun = items[at].noun
        if noun is None or noun.kind == "other" or at in negated:
            continue
        target = findings.accessories if noun.kind == "accessory" else findings.colors
        claimed = claims[at]
        if noun.name == "hair" and (second := _second_color(items, claimed)) is not None:
            claimed = [color for color in claimed if color is not second]
            findings.colors.setdefault("second_hair", []).append(second)
        target.setdefault(noun.name, []).extend(claimed)
        suspect = _suspect(items, at)
        if suspect is not None and not claimed and noun.name != "second_hair":
            findings.suspects.setdefault(noun.name, []).append(suspect)
    if not any(items[at].noun == _Noun("region", "hair") for at in nouns):
        for at, item in enumerate(items):
            if item.text in HAIR_PEOPLE and at not in negated and not _belongs_to_a_noun(items, at):
                color = _Color(HAIR_PEOPLE[item.text], False, item.text)
                findings.colors.setdefault("hair", []).append(color)


def _second_color(items: list[_Item], colors: list[_Color]) -> _Color | None:
    """The second of two colours that one mention of hair is to have; None for one, or for a word and its hex."""
    codes = [color for color in colors if color.is_code]
    pair = codes if len(codes) > 1 or len(colors) == len(codes) + 1 else colors
    if len(pair) < 2 or pair[0].hex == pair[1].hex:
        return None
    first, second = (next(at for at, item in enumerate(items) if item.color is color) for color in pair[:2])
    joined = any(item.text in JOINING for item in items[first:second])
    return pair[1] if joined or any(item.text in TWO_TONED for item in items) else None


def _mixture(match: re.Match[str]) -> str:
    """ "blue-grey" as one word where both halves are colours."""
    first, second = match.groups()
    if hex_of_color_word(first) and hex_of_color_word(second) and not hex_of_color_word(first + second):
        return f"{first}{_MIXED}{second}"
    return match.group()


def _items(tokens: list[str]) -> list[_Item]:
    """Tokens with their meanings; two that make one colour ("hot pink", "dark blue") become one item."""
    items: list[_Item] = []
    at = 0
    while at < len(tokens):
        token, following = tokens[at], tokens[at + 1] if at + 1 < len(tokens) else ""
        pair = _pair_color(token, following)
        if pair is not None:
            items.append(_Item(pair.text, color=pair))
            at += 2
            continue
        items.append(_Item(token, _color(token), _noun(token, following), _skin_color(token)))
        at += 1
    return items


def _color(token: str) -> _Color | None:
    code = _HEX.fullmatch(token)
    if code is not None and (token.startswith("#") or (len(token) == 6 and any(map(str.isdigit, token)))):
        digits = code[1] if len(code[1]) != 3 else "".join(2 * digit for digit in code[1])
        return _Color(f"#{digits[:6]}", True, token)
    if _MIXED in token:
        first, second = (oklab_of_rgb(rgb_of_hex(hex_of_color_word(part) or "")) for part in token.split(_MIXED))
        return _Color(hex_of_rgb(rgb_of_oklab((first + second) / 2.0)), False, token.replace(_MIXED, "-"))
    known = hex_of_color_word(token)
    if known is None and token.endswith("ish"):
        # "pinkish", "reddish", "purplish": only of common colours, where the guess at the spelling is safe.
        stem = token.removesuffix("ish")
        base = next((word for word in (stem, stem[:-1], stem + "e") if word in NAMED_COLORS), None)
        known = NAMED_COLORS.get(base or "")
    return None if known is None else _Color(known, False, token)


def _pair_color(first: str, second: str) -> _Color | None:
    color = _color(second)
    if color is None or color.is_code:
        return None
    base = color.hex
    if first not in _DARKER | _LIGHTER:
        joined = hex_of_color_word(first + second)
        return None if joined is None else _Color(joined, False, f"{first} {second}")
    oklab = oklab_of_rgb(rgb_of_hex(base))
    black, white = np.zeros(3), np.array([1.0, 0.0, 0.0])
    towards, amount = (black, _DARKER_MIX) if first in _DARKER else (white, _LIGHTER_MIX)
    mixed = oklab + amount * (towards - oklab)
    return _Color(hex_of_rgb(rgb_of_oklab(mixed)), False, f"{first} {color.text}")


def _skin_color(token: str) -> _Color | None:
    known = hex_of_skin_word(token)
    return None if known is None else _Color(known, False, token)


def _noun(token: str, following: str) -> _Noun | None:
    if token in OTHER_NOUNS:
        return _Noun("other", token)
    if token in REGION_NOUNS or token in ACCESSORY_NOUNS:
        if following in COMPOUND_HEADS | DENYING_TAILS or (token, following) in NO_NOUNS:
            return None
        if token in REGION_NOUNS:
            return _Noun("region", REGION_NOUNS[token])
        return _Noun("accessory", ACCESSORY_NOUNS[token])
    return None


def _negated(items: list[_Item]) -> set[int]:
    """Positions that a "no" or "without" before them takes back."""
    negated: set[int] = set()
    active = False
    for at, item in enumerate(items):
        if item.text in NEGATIONS:
            active = True
        elif item.text in END_OF_NEGATION and not (at > 0 and items[at - 1].text in NEGATIONS):
            active = False
        if active:
            negated.add(at)
    return negated


def _claims(items: list[_Item], nouns: list[int]) -> dict[int, list[_Color]]:
    """The colours that belong to each noun of a clause."""
    before = {at: _colors_before(items, at) for at in nouns}
    after = {at: _colors_after(items, at) for at in nouns}
    for first, second in pairwise(nouns):
        contested = after[first].keys() & before[second].keys()
        for at in sorted(contested):
            has_its_own = any(position > second for position in after[second]) or bool(
                before[second].keys() - contested
            )
            if before[second][at].is_code:
                # "hair #a crown #b" and "pink hair #a crown" against "#a hair #b crown".
                is_of_first = has_its_own or not any(color.is_code for color in before[first].values())
            else:  # "hair pink crown gold" against "pink hair gold crown"
                is_of_first = has_its_own and not before[first]
            (before[second] if is_of_first else after[first]).pop(at)
    return {at: [*before[at].values(), *after[at].values()] for at in nouns}


def _colors_before(items: list[_Item], noun_at: int) -> dict[int, _Color]:
    """Colours in front of a noun, with only describing words between, in reading order."""
    found: dict[int, _Color] = {}
    for at in range(noun_at - 1, -1, -1):
        color = _meaning(items[at], items[noun_at])
        if color is not None:
            found[at] = color
        elif items[at].noun is not None or not (
            items[at].text in DESCRIPTIVE - {"with", "wearing", "in", "of"}
            or (items[at].text in JOINING and found and at > 0 and _meaning(items[at - 1], items[noun_at]))
        ):
            break
    return dict(sorted(found.items()))


def _colors_after(items: list[_Item], noun_at: int) -> dict[int, _Color]:
    """Colours behind a noun, with nothing but "is", "color" and the like between."""
    found: dict[int, _Color] = {}
    for at in range(noun_at + 1, len(items)):
        color = _meaning(items[at], items[noun_at])
        if color is not None:
            found[at] = color
        elif items[at].text not in FILLERS_AFTER and not (found and _goes_on(items, at, items[noun_at])):
            break
    return found


def _goes_on(items: list[_Item], at: int, noun_item: _Item) -> bool:
    """Whether an "and" behind a colour of hair joins it to another one of the hair, and not of the next thing."""
    if items[at].text not in JOINING or noun_item.noun != _Noun("region", "hair") or at + 1 >= len(items):
        return False
    return items[at + 1].color is not None and not any(item.noun for item in items[at + 2 : at + 4])


def _meaning(item: _Item, noun_item: _Item) -> _Color | None:
    if noun_item.noun == _Noun("region", "skin") and item.skin is not None:
        return item.skin
    return item.color


def _belongs_to_a_noun(items: list[_Item], at: int) -> bool:
    """Whether "blonde" is said of some other thing ("blonde eyebrows")."""
    return any(at in _colors_before(items, noun_at) for noun_at in range(at + 1, len(items)) if items[noun_at].noun)


def _suspect(items: list[_Item], noun_at: int) -> str | None:
    """The words around a noun that look like a colour and are none, as "chartreusish hair"."""
    noun = items[noun_at]
    if noun_at + 1 < len(items) and items[noun_at + 1].text.startswith("#"):
        return f"{noun.text} {items[noun_at + 1].text}"
    if noun_at == 0:
        return None
    word = items[noun_at - 1]
    if word.noun is not None or word.color is not None or word.text in CONNECTING:
        return None
    if noun.noun is not None and noun.noun.kind == "accessory":
        # An accessory without a colour is common, and so are words like "aviator" before it.
        return f"{word.text} {noun.text}" if word.text.endswith("ish") else None
    is_vague = noun.noun == _Noun("region", "hair") and word.text in _DARKER | _LIGHTER
    return f"{word.text} {noun.text}" if is_vague or word.text not in DESCRIPTIVE else None


def _resolve(name: str, colors: list[_Color], unknown: list[str]) -> str | None:
    """The one colour of a region; what contradicts it is reported."""
    if not colors:
        return None
    codes = [color for color in colors if color.is_code]
    chosen = (codes or colors)[0]
    for other in colors:
        is_word_for_it = not other.is_code and chosen.is_code
        far = delta_e_hex(chosen.hex, other.hex) > _CONTRADICTION
        related = is_shade_of(oklab_of_rgb(rgb_of_hex(chosen.hex)), oklab_of_rgb(rgb_of_hex(other.hex)))
        if other.hex != chosen.hex and (far if is_word_for_it else not bool(related)):
            unknown.append(f"{name}: both {chosen.text} and {other.text}; {chosen.hex} counts")
    return chosen.hex
