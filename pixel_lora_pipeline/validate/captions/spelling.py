"""Whether words are spelt as they should be, by what the dataset's own captions call things."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

from pixel_lora_pipeline.validate.captions.caption import CODE, Caption, Piece
from pixel_lora_pipeline.validate.captions.check import Check, Edit, Example, Hit
from pixel_lora_pipeline.validate.captions.corpus import Corpus
from pixel_lora_pipeline.validate.captions.dictionary import is_describing, is_noun, is_vocabulary
from pixel_lora_pipeline.validate.captions.examples import GOOD, RIGHT, changed

_SHORTEST: Final = 3
# How much more often another word stands between the same neighbours, for a word that exists to be a slip for it.
_MORE_FREQUENT: Final = 4
_LEAST: Final = 3
# How many more captions write two words, against those that write them as one.
_SPLIT: Final = 10
# Nearly every three letters are a slip away from some word: shorter words are judged by their neighbours.
_LONG_ENOUGH: Final = 4
_EDGE: Final = ""

Context = tuple[str, str, str]


def _misspelt(corpus: Corpus) -> Iterator[Hit]:
    surroundings = {caption.name: _contexts(caption) for caption in corpus.written}
    contexts = Counter(context for around in surroundings.values() for context in set(around.values()))
    pairs = Counter(context[:2] for context in contexts.elements())
    meant: dict[str, tuple[str | None, str | None]] = {}
    together: dict[str, str | None] = {}
    for caption in corpus.written:
        around = surroundings[caption.name]
        triggers = corpus.near_triggers[caption.name]
        for piece in _torn_apart(caption, corpus):
            if _overlaps(piece, triggers):
                continue
            word = piece.text.replace(" ", "").lower()
            yield Hit((caption.name,), _values(piece.text, word), (Edit(piece.start, piece.end, word),))
        for piece in caption.words:
            word = piece.text.lower()
            if len(word) < _SHORTEST or corpus.dictionary.is_settled(word) or _overlaps(piece, triggers):
                continue
            if word not in together:
                together[word] = _two_words(word, corpus.words[word], pairs)
            right, shown = together[word], None
            if right is None and corpus.dictionary.is_rare(word):
                if len(word) < _LONG_ENOUGH or corpus.dictionary.is_known(word):
                    right = _meant_here(around[piece], contexts, corpus)
                else:
                    if word not in meant:
                        meant[word] = _meant_anywhere(word, corpus)
                    right, shown = meant[word]
            if right is not None:
                yield Hit((caption.name,), _values(piece.text, right), (Edit(piece.start, piece.end, right),))
            elif shown is not None:
                yield Hit((caption.name,), _values(piece.text, shown))


def _values(word: str, meant: str) -> dict[str, str]:
    return {"word": word, "meant": meant}


def _meant_anywhere(word: str, corpus: Corpus) -> tuple[str | None, str | None]:
    """What an unknown word was meant to be: by the dataset's words, else by English, which is for people only."""
    own = corpus.dictionary.meant_by(word)
    if own:
        return own[0], None
    return None, corpus.dictionary.english_meant_by(word)


def _meant_here(context: Context, contexts: Counter[Context], corpus: Corpus) -> str | None:
    """The word that stands between the same neighbours elsewhere, of which a word that exists is a slip; else None."""
    before, word, after = context
    for other in corpus.dictionary.neighbours(word):
        same_part = (is_noun(word) and is_noun(other)) or (is_describing(word) and is_describing(other))
        enough = max(_LEAST, _MORE_FREQUENT * contexts[context])
        if not same_part and contexts[before, other, after] >= enough:
            return other
    return None


def _overlaps(piece: Piece, others: Iterable[Piece]) -> bool:
    """Whether it is part of what another check tells of, and tells as the worse fault."""
    return any(piece.start < other.end and other.start < piece.end for other in others)


def _two_words(word: str, number: int, pairs: Counter[tuple[str, str]]) -> str | None:
    """The two words that a word is in other captions ("skintone"); None if it is one."""
    halves = [(word[:at], word[at:]) for at in range(2, len(word) - 1)]
    best = max(halves, key=pairs.__getitem__, default=None)
    return None if best is None or pairs[best] < max(_LEAST, _SPLIT * number) else " ".join(best)


def _contexts(caption: Caption) -> dict[Piece, Context]:
    """By word, the word with its neighbours within the tag; a code is a neighbour, too."""
    found: dict[Piece, Context] = {}
    words, at = caption.words, 0
    for tag in caption.tags:
        pieces: list[Piece] = []
        while at < len(words) and words[at].start < tag.end:
            pieces.append(words[at])
            at += 1
        marks = sorted([*pieces, *tag.codes], key=lambda each: each.start)
        texts = [_EDGE, *(CODE if each in tag.codes else each.text.lower() for each in marks), _EDGE]
        for number, piece in enumerate(marks):
            if piece not in tag.codes:
                found[piece] = (texts[number], texts[number + 1], texts[number + 2])
    return found


def _torn_apart(caption: Caption, corpus: Corpus) -> Iterator[Piece]:
    """Two rare words with a space between that together are one of the dataset's."""
    for first, second in pairwise(caption.words):
        joined = (first.text + second.text).lower()
        if caption.text[first.end : second.start] != " " or not corpus.words[joined]:
            continue
        halves = (first.text.lower(), second.text.lower())
        if all(corpus.dictionary.frequent(joined, half) for half in halves) and not all(
            is_vocabulary(half) for half in halves
        ):
            yield Piece(caption.text[first.start : second.end], first.start, second.end)


CHECKS: Final = (
    Check(
        "spelling",
        "warning",
        "{word!r} was probably meant to be {meant!r}.",
        "suggested",
        (
            *GOOD,
            changed("pixel art portrait", "pixel art portrait of a chibi jrpg hero"),
            changed("white shirt", "coloured grey shirt"),
            changed("gold crown", "gold circlet"),
        ),
        (
            changed("background", "backgroud"),
            changed("smile", "smiel"),
            changed("light skin", "lihgt skin"),
            changed("pink hair", "pinkhair"),
            changed("background", "back ground"),
            changed("pink hair", "pink hail"),
            Example(RIGHT.replace("smile", "smile, golden helmt")),
        ),
        _misspelt,
    ),
)
