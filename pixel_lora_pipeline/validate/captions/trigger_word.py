"""The word that calls a style, and what looks like it and is not."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import Final

from pixel_lora_pipeline.validate.captions.caption import CODE, Caption, Piece
from pixel_lora_pipeline.validate.captions.dictionary import is_english, is_vocabulary
from pixel_lora_pipeline.validate.captions.edit_distance import edit_distance

# A made-up word is in all captions but for slips; so is a common first tag.
_NEARLY_ALL: Final = 0.8
_FEWEST_CAPTIONS: Final = 3
_MOST_WORDS: Final = 4
# Trigger words may have digits ("p1xchar"); those that begin with one are counts of people ("1girl").
_WORD: Final = re.compile(r"[^\W\d_][^\W_]*")
# What may stand between the parts of a name; a separator may not.
_ONE_NAME: Final = re.compile(r"[^\W_]+(?:[ \t_-]+[^\W_]+)*")
# Two slips are believed where at least this many letters are left to know the word by.
_TWO_SLIPS: Final = 6
_SHORT: Final = 3


@dataclass(frozen=True)
class Trigger:
    """A word, or a few that stand together."""

    text: str
    words: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> "Trigger":
        """The trigger in lower case, its words apart."""
        return cls(text.lower(), tuple(_WORD.findall(text.lower())) or (text.lower(),))

    def places(self, caption: Caption) -> list[Piece]:
        """Where it stands in a caption, in whatever case."""
        return [
            Piece(match.group(), *match.span())
            for match in re.finditer(rf"(?<!\w){re.escape(self.text)}(?!\w)", caption.text, re.IGNORECASE)
        ]

    def near_misses(self, caption: Caption) -> list[Piece]:
        """What was probably meant to be it: one or two slips away, torn apart, or grown together with the next word.

        Words that English or the project has are left out where the trigger itself is there, too.
        """
        has_it = bool(self.places(caption))
        words = [Piece(match.group(), *match.span()) for match in _WORD.finditer(caption.text)]
        found: list[Piece] = []
        for count in {len(self.words), len(self.words) + 1, max(1, len(self.words) - 1)}:
            for at in range(len(words) - count + 1):
                run = words[at : at + count]
                text = caption.text[run[0].start : run[-1].end]
                letters = "".join(word.text for word in run).lower()
                if _is_near(text.lower(), letters, self, has_it) and _ONE_NAME.fullmatch(text):
                    found.append(Piece(text, run[0].start, run[-1].end))
        return _without_overlaps(found)


@lru_cache(maxsize=65_536)
def _is_near(text: str, letters: str, trigger: Trigger, has_it: bool) -> bool:
    """Whether some words, also given without what stands between them, were meant to be the trigger."""
    words, joined = text.split(), "".join(trigger.words)
    if text == trigger.text or words == list(trigger.words) or (has_it and trigger.text in words):
        return False
    if has_it and all(is_english(word) or is_vocabulary(word) for word in words):
        return False
    most = 0 if len(joined) < _SHORT else 1 if len(joined) < _TWO_SLIPS else 2
    if len(words) > len(trigger.words):  # torn apart: two slips and a space would be too much
        if any(word in trigger.words for word in words):
            return False
        most = min(most, 1)
    if edit_distance(letters, joined, most) <= most:
        return True
    rest = letters.removeprefix(joined)
    return rest != letters and len(rest) > 2 and (is_english(rest) or is_vocabulary(rest))


def common_trigger(captions: Sequence[Caption]) -> Trigger | None:
    """What nearly all captions share: the first made-up word, else the tag that they begin with; None if nothing."""
    if len(captions) < _FEWEST_CAPTIONS:
        return None
    enough = _NEARLY_ALL * len(captions)
    places: dict[str, list[int]] = {}
    for caption in captions:
        for word, at in _first_places(caption).items():
            places.setdefault(word, []).append(at)
    made_up = [
        word
        for word, found in places.items()
        if len(found) >= enough and not is_english(word) and not is_vocabulary(word)
    ]
    if made_up:
        return Trigger.of(min(made_up, key=lambda word: fmean(places[word])))
    form, number = Counter(caption.tags[0].form for caption in captions).most_common(1)[0]
    if number >= enough and CODE not in form and len(form.split()) <= _MOST_WORDS:
        return Trigger.of(form)
    return None


def _first_places(caption: Caption) -> dict[str, int]:
    codes = {(code.start, code.end) for code in caption.codes}
    first: dict[str, int] = {}
    for match in _WORD.finditer(caption.text):
        if not any(start <= match.start() < end for start, end in codes):
            first.setdefault(match.group().lower(), match.start())
    return first


def _without_overlaps(pieces: list[Piece]) -> list[Piece]:
    """Of pieces that overlap, the shortest."""
    kept: list[Piece] = []
    for piece in sorted(pieces, key=lambda each: (each.end - each.start, each.start)):
        if all(piece.end <= other.start or piece.start >= other.end for other in kept):
            kept.append(piece)
    return sorted(kept, key=lambda each: each.start)
