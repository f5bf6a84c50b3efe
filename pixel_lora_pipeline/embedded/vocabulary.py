"""The embedded model's tokenizer: every caption word is one token, every hex digit is one token.

Keeping hex digits apart matters: a text encoder of a few hundred thousand parameters learns what `#ff69b4` means
only if the six digits always stand at the same distance from the `#`.
"""

from itertools import pairwise
from typing import Final

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

MAX_LENGTH: Final = 77
BOS: Final = "<|startoftext|>"
EOS: Final = "<|endoftext|>"

_HEX_LETTERS: Final = frozenset("abcdef")
_END: Final = "</w>"

_COLOR_WORDS: Final = """
    black white grey gray red orange yellow green teal blue purple pink brown gold golden silver blonde blond
    turquoise violet crimson navy magenta cyan lime beige cream
"""
_PORTRAIT_WORDS: Final = """
    hair background skin clothes shirt lips eyes crown sunglasses glasses necklace hat
    light medium tan dark pale short long smile smiling neutral expression happy serious
"""
_OTHER_WORDS: Final = """
    portrait pixel art pixchar sprite style photo picture front view simple solid plain flat limited palette
    character person woman man girl boy with without and on of the no in
"""
WORDS: Final = (*_COLOR_WORDS.split(), *_PORTRAIT_WORDS.split(), *_OTHER_WORDS.split())


def build_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer over bytes and `WORDS`.

    Returns
    -------
    CLIPTokenizer
        Length 77, padded with the end token as CLIP does. A text that needs no word of the list still
        encodes, byte by byte.
    """
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        pieces = _segment(word, merges)
        while len(pieces) > 1:
            pair = _next_merge(pieces)
            merges.append(pair)
            pieces = _segment(word, merges)
    characters = sorted(ByteLevel.alphabet())
    tokens = characters + [character + _END for character in characters]
    tokens += list(dict.fromkeys(left + right for left, right in merges))
    tokens += [BOS, EOS]
    vocab = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_LENGTH)


def _segment(word: str, merges: list[tuple[str, str]]) -> list[str]:
    """How byte-pair encoding splits a word under the merges so far."""
    pieces = [*word[:-1], word[-1] + _END]
    rank = {pair: index for index, pair in enumerate(merges)}
    while True:
        candidates = [(rank[pair], at) for at, pair in enumerate(pairwise(pieces)) if pair in rank]
        if not candidates:
            return pieces
        at = min(candidates)[1]
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]


def _next_merge(pieces: list[str]) -> tuple[str, str]:
    """The first neighbouring pair that is not made of hex letters alone, so that no hex code is ever merged."""
    for left, right in pairwise(pieces):
        if not set((left + right).removesuffix(_END)) <= _HEX_LETTERS:
            return left, right
    raise ValueError(f"{''.join(pieces)!r} is made of hex letters only and cannot be a word of the vocabulary")
