"""Whether the text encoders read captions to their end."""

from collections.abc import Iterator
from typing import Final

from pixel_lora_pipeline.validate.captions.check import Check, Example, Hit
from pixel_lora_pipeline.validate.captions.corpus import Corpus
from pixel_lora_pipeline.validate.captions.examples import GOOD, RIGHT

LENGTHS: Final = (75, 150, 225)
"""What `max_token_length` may be: Kohya's trainers join up to three windows of CLIP."""


def _too_long(corpus: Corpus) -> Iterator[Hit]:
    captions = corpus.written
    options = [corpus.by_name[caption.name].options for caption in captions]
    texts = [each.whole(caption.text.strip()) for each, caption in zip(options, captions, strict=True)]
    for name, count in corpus.encoders.items():
        for caption, each, tokens in zip(captions, options, count(texts), strict=True):
            if tokens > each.max_token_length:
                yield Hit(
                    (caption.name,),
                    {"tokens": tokens, "encoder": name, "limit": each.max_token_length, "remedy": _remedy(tokens)},
                )


def _remedy(tokens: int) -> str:
    enough = next((length for length in LENGTHS if length >= tokens), None)
    return f"Shorten it, or train with max_token_length = {enough}." if enough else "Shorten it."


CHECKS: Final = (
    Check(
        "too-many-tokens",
        "error",
        "The caption has {tokens} tokens for {encoder}, which is given {limit}: what comes later is not learnt. "
        "{remedy}",
        "never",
        GOOD,
        (Example(RIGHT, parameters={"max_token_length": 75}), Example(RIGHT + ", and so on" * 60)),
        _too_long,
    ),
)
