"""Which words are spelt as they should be, and what a misspelt one was meant to be."""
# ruff: noqa: SIM905 - words are easier to read, sort and add to as running text

from collections import Counter
from collections.abc import Collection, Iterator
from functools import cache
from math import ceil
from typing import Final

from spellchecker import SpellChecker

from pixel_lora_pipeline.validate.caption_words import (
    ACCESSORY_NOUNS,
    DESCRIPTIVE,
    HAIR_PEOPLE,
    NEGATIONS,
    OTHER_NOUNS,
    REGION_NOUNS,
    TWO_TONED,
)
from pixel_lora_pipeline.validate.captions.edit_distance import edit_distance
from pixel_lora_pipeline.validate.captions.expression_words import EXPRESSION_WORDS
from pixel_lora_pipeline.validate.named_colors import SKIN_SYNONYMS, SKIN_TONES, hex_of_color_word

# A word that fewer captions have is a slip if anything is; what more have is what the dataset calls things.
_RARE_SHARE: Final = 0.01
_RARE: Final = 2
# How many more captions have a word than its misspelling: nobody mistypes a word every third time.
_MORE_FREQUENT: Final = 5
_LEAST: Final = 3
# Two slips in one word are believed only where it is long enough to be known all the same.
_LONG: Final = 7
# A dictionary's word that stands so often among the words of English is meant, and not "chili" for "chibi".
_COMMON_ENGLISH: Final = 2e-6

# What painters of sprites and people who caption them write, and no dictionary has.
_JARGON: Final = frozenset(
    "chibi sprite sprites spritesheet tileset tilemap jrpg rpg nes snes gba gameboy pico isometric pixelart pixelated "
    "dithering dithered voxel aseprite bitmap retro lowres highres upscaled antialiased cel-shaded kawaii ahoge updo "
    "sidelocks twintails twintail hime hoodie hoodies tshirt turtleneck yukata furisode serafuku hakama obi sakura "
    "goth emo steampunk cyberpunk lofi anime manga vtuber avatar pfp nft bespoke colored-pencil masterpiece solo "
    "bokeh headshot closeup heterochromia goatee monocle eyepatch beanie fedora choker scrunchie hijab durag "
    "dreads dreadlocks cornrows pompadour undercut mullet buzzcut afro blonde blond brunette redhead septum".split()
)
_NOUNS: Final = REGION_NOUNS.keys() | ACCESSORY_NOUNS.keys() | OTHER_NOUNS
_DESCRIBING: Final = (
    DESCRIPTIVE
    | NEGATIONS
    | TWO_TONED
    | EXPRESSION_WORDS
    | HAIR_PEOPLE.keys()
    | SKIN_TONES.keys()
    | SKIN_SYNONYMS.keys()
)
# British spelling, by what American has in its place; the dictionary is American.
_BRITISH: Final = (
    ("our", "or"), ("ise", "ize"), ("isi", "izi"), ("yse", "yze"), ("tre", "ter"), ("ll", "l"), ("ae", "e"),
    ("gue", "g"), ("ence", "ense"), ("ey", "ay"),
)  # fmt: skip
_ENDINGS: Final = ("'s", "s", "es", "ish", "y", "ly", "ed", "like")


class Dictionary:
    """The words of a dataset, of its project and of English.

    Parameters
    ----------
    counts
        In how many captions each word stands, in lower case.
    n_captions
        How many captions there are.
    more
        Words that are right because somebody says so.
    """

    def __init__(self, counts: Counter[str], n_captions: int, more: Collection[str] = ()) -> None:
        self._counts = counts
        self._rare = max(_RARE, ceil(_RARE_SHARE * n_captions))
        self._more = frozenset(word.lower() for word in more)
        self._edits = SpellChecker(language=None)
        self._edits.word_frequency.load_words(counts)  # it makes up words of the letters that it knows
        self._neighbours: dict[str, list[str]] = {}

    def is_rare(self, word: str) -> bool:
        """Whether so few captions have the word that it may be a slip."""
        return self._counts[word] < self._rare

    def is_known(self, word: str) -> bool:
        """Whether the word is right whatever the dataset says."""
        return word in self._more or is_vocabulary(word) or is_english(word)

    def is_settled(self, word: str) -> bool:
        """Whether somebody says that the word is right."""
        return word in self._more

    def frequent(self, word: str, than: str) -> bool:
        """Whether the dataset has a word so much more often that the other one can be a slip for it."""
        return self._counts[word] >= max(_LEAST, _MORE_FREQUENT * self._counts[than])

    def neighbours(self, word: str) -> list[str]:
        """The dataset's frequent words that one slip makes into this one, the most frequent first."""
        if word not in self._neighbours:
            found = {each for each in self._edits.edit_distance_1(word) if each in self._counts}
            self._neighbours[word] = self._ordered(each for each in found if each != word and self.frequent(each, word))
        return self._neighbours[word]

    def meant_by(self, word: str) -> list[str]:
        """What a word that nobody knows was meant to be, from the dataset's own words; the likeliest first.

        Two words that were run together count, too ("pinkhair").
        """
        near = self.neighbours(word)
        if near:
            return near
        halves = [(word[:at], word[at:]) for at in range(2, len(word) - 1)]
        together = [
            f"{first} {second}"
            for first, second in halves
            if self.frequent(first, word) and self.frequent(second, word)
        ]
        if together:
            return together
        if len(word) < _LONG:
            return []
        return self._ordered(
            each
            for each in self._counts
            if len(each) >= _LONG - 1 and self.frequent(each, word) and edit_distance(word, each, 2) == 2
        )

    def english_meant_by(self, word: str) -> str | None:
        """The common English or project word that one slip makes into this one: only to be shown to a person."""
        english = _english()
        found = english.edit_distance_1(word)
        ours = sorted(each for each in found if is_vocabulary(each) and len(each) > 3)
        if ours:
            return ours[0]
        common = [each for each in found if len(each) > 3 and english.word_usage_frequency(each) >= _COMMON_ENGLISH]
        return max(common, key=english.word_usage_frequency, default=None)

    def _ordered(self, words: Iterator[str]) -> list[str]:
        return sorted(words, key=lambda word: (-self._counts[word], word))


def is_vocabulary(word: str) -> bool:
    """Whether the project knows the word: of colours, parts, accessories, expressions, or the trade."""
    return word in _NOUNS or word in _DESCRIBING or word in _JARGON or hex_of_color_word(word) is not None


def is_noun(word: str) -> bool:
    """Whether it names a part or something that is worn."""
    return word in _NOUNS


def is_describing(word: str) -> bool:
    """Whether it is a colour or another word that stands before nouns."""
    return word in _DESCRIBING or hex_of_color_word(word) is not None


@cache
def is_english(word: str) -> bool:
    """Whether English has the word, in American or British spelling, or one that it is made from."""
    english = _english()
    if word in english or (word not in _JARGON and any(spelt in english for spelt in _american(word))):
        return True
    stems = (word.removesuffix(ending) for ending in _ENDINGS if word.endswith(ending))
    return any(len(stem) > 2 and (is_vocabulary(stem) or stem in english) for stem in stems)


def _american(word: str) -> Iterator[str]:
    return (word.replace(british, american) for british, american in _BRITISH if british in word)


@cache
def _english() -> SpellChecker:
    return SpellChecker()
