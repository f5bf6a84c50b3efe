"""Whether captions say what has to be said: of lips and of expressions."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final

from pixel_lora_pipeline.validate.captions.caption import Caption
from pixel_lora_pipeline.validate.captions.check import Check, Example, Hit
from pixel_lora_pipeline.validate.captions.corpus import Corpus
from pixel_lora_pipeline.validate.captions.examples import GOOD, RIGHT, changed
from pixel_lora_pipeline.validate.captions.expression_words import contradict, names_a_face


def _without_lips(corpus: Corpus) -> Iterator[Hit]:
    without = [caption for caption in corpus.written if caption.name not in corpus.lips]
    yield from _told_of(corpus, without, "colour of the lips")


def _without_expression(corpus: Corpus) -> Iterator[Hit]:
    without = [caption for caption in corpus.written if not corpus.expressions[caption.name]]
    unclassified = {
        caption.name: next((tag.text for tag in caption.tags if names_a_face(tag.form)), None) for caption in without
    }
    yield from (Hit((name,), {"said": f"{tag!r} is none that is known"}) for name, tag in unclassified.items() if tag)
    rest = [caption for caption in without if unclassified[caption.name] is None]
    yield from _told_of(corpus, rest, "expression")


def _told_of(corpus: Corpus, without: Sequence[Caption], what: str) -> Iterator[Hit]:
    """One by one where the others say it, else once for all: then it is how this dataset is captioned."""
    if len(without) > len(corpus.written) / 2:
        said = f"{len(without)} of {len(corpus.captions)} captions do not say the {what}"
        yield Hit(tuple(caption.name for caption in without), {"said": said}, severity="warning")
    else:
        yield from (Hit((caption.name,), {"said": f"The caption does not say the {what}"}) for caption in without)


def _contradictions(corpus: Corpus) -> Iterator[Hit]:
    for caption in corpus.written:
        for (first, one), (second, other) in combinations(corpus.expressions[caption.name], 2):
            if contradict(one, other):
                yield Hit((caption.name,), {"first": first, "one": one, "second": second, "other": other})
                break


CHECKS: Final = (
    Check(
        "lips-missing",
        "error",
        "{said}.",
        "never",
        (*GOOD, changed("red lips #c0392b", "lips #c0392b"), changed("red lips #c0392b", "red lipstick #c0392b")),
        (changed("red lips #c0392b", "nose #c0392b"), changed("red lips #c0392b", "full lips, nose #c0392b")),
        _without_lips,
    ),
    Check(
        "expression-missing",
        "error",
        "{said}: as smile, neutral expression or frown.",
        "never",
        (*GOOD, changed("smile", "neutral expression"), changed("smile", "angry face"), changed("smile", "frowning")),
        (
            changed(" smile,", ""),
            changed("smile", "puce expression"),
            Example(RIGHT.replace(" smile,", "").replace("green back", "calm green back")),
        ),
        _without_expression,
    ),
    Check(
        "expression-conflict",
        "error",
        "{first!r} ({one}) and {second!r} ({other}) contradict each other.",
        "never",
        (*GOOD, changed("smile", "smile, happy"), changed("smile", "sad smile"), changed("smile", "not smiling, sad")),
        (changed("smile", "smile, sad expression"), changed("smile", "frowning, smile")),
        _contradictions,
    ),
)
