"""What a tag is about, whatever it says of it."""

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pixel_lora_pipeline.validate.caption_words import ACCESSORY_NOUNS, OTHER_NOUNS, REGION_NOUNS
from pixel_lora_pipeline.validate.captions.caption import Tag
from pixel_lora_pipeline.validate.captions.expression_words import expression_classes
from pixel_lora_pipeline.validate.expectation import parse_expectation

if TYPE_CHECKING:
    from pixel_lora_pipeline.validate.captions.corpus import Corpus

_WORD: Final = re.compile(r"[a-z]+")
# A tag that so many captions have says the same in all of them, so it is a kind of its own.
_STANDING: Final = 0.2


def tag_kind(tag: Tag, corpus: "Corpus") -> str | None:
    """The part that the tag is about, "expression", or the tag itself where many captions have it; None if unknown.

    "pink hair" and "long hair" are two kinds: captions say them in different places.
    """
    kind = _kind_of_form(tag.form)
    if kind is not None:
        return kind
    return tag.form if corpus.forms[tag.form] >= _STANDING * len(corpus.written) else None


@lru_cache(maxsize=32_768)
def _kind_of_form(form: str) -> str | None:
    if expression_classes(form):
        return "expression"
    words = _WORD.findall(form)
    nouns = [word for word in words if word in REGION_NOUNS or word in ACCESSORY_NOUNS or word in OTHER_NOUNS]
    if not nouns:
        return None
    noun = REGION_NOUNS.get(nouns[-1]) or ACCESSORY_NOUNS.get(nouns[-1]) or nouns[-1]
    has_color = "#" in form or bool(parse_expectation(form))
    return noun if has_color or noun not in ("hair", "background") else f"{noun} without colour"
