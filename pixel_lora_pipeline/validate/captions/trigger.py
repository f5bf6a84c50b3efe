"""Whether the trigger word is there, spelt right and in its place."""

import re
from collections.abc import Iterator
from typing import Final

from pixel_lora_pipeline.validate.captions.caption import Caption, Piece
from pixel_lora_pipeline.validate.captions.check import Check, Edit, Example, Hit
from pixel_lora_pipeline.validate.captions.corpus import Corpus
from pixel_lora_pipeline.validate.captions.examples import GOOD, RIGHT, changed
from pixel_lora_pipeline.validate.captions.trigger_word import Trigger

_WORD: Final = re.compile(r"\w")


def _unknown(corpus: Corpus) -> Iterator[Hit]:
    if corpus.written and corpus.trigger is None:
        yield Hit(())


def _misspelt(corpus: Corpus) -> Iterator[Hit]:
    trigger = corpus.trigger
    if trigger is None:
        return
    for caption in corpus.written:
        for piece in corpus.near_triggers[caption.name]:
            rest = piece.text.lower().removeprefix("".join(trigger.words))
            meant = f"{trigger.text}, {rest}" if len(rest) > 2 and rest != piece.text.lower() else trigger.text
            edit = Edit(piece.start, piece.end, meant)
            yield Hit((caption.name,), {"text": piece.text, "trigger": trigger.text}, (edit,))


def _missing(corpus: Corpus) -> Iterator[Hit]:
    trigger = corpus.trigger
    if trigger is None:
        return
    for caption in corpus.written:
        if not _stands_in(corpus, caption, trigger) and not corpus.near_triggers[caption.name]:
            edit = Edit(0, len(caption.text) - len(caption.text.lstrip()), f"{trigger.text}, ")
            yield Hit((caption.name,), {"trigger": trigger.text}, (edit,))


def _stands_in(corpus: Corpus, caption: Caption, trigger: Trigger) -> bool:
    options = corpus.by_name[caption.name].options
    return bool(trigger.places(caption)) or trigger.text in options.whole("").lower()


def _capitals(corpus: Corpus) -> Iterator[Hit]:
    trigger = corpus.trigger
    if trigger is None:
        return
    places = {caption.name: trigger.places(caption) for caption in corpus.written}
    spellings = [place.text for found in places.values() for place in found]
    usual = max(sorted(set(spellings)), key=spellings.count, default=trigger.text)
    for name, found in places.items():
        odd = [place for place in found if place.text != usual]
        if odd:
            edits = tuple(Edit(place.start, place.end, usual) for place in odd)
            yield Hit((name,), {"text": odd[0].text, "trigger": usual}, edits)


def _displaced(corpus: Corpus) -> Iterator[Hit]:
    trigger = corpus.trigger
    if trigger is None:
        return
    places = {caption.name: trigger.places(caption)[:1] for caption in corpus.written}
    having = [caption for caption in corpus.written if places[caption.name]]
    leading = [caption for caption in having if not _WORD.search(caption.text[: places[caption.name][0].start])]
    if not corpus.is_usual(len(leading), len(having)):
        return
    for caption in having:
        if caption not in leading:
            yield Hit((caption.name,), {"trigger": trigger.text}, _moved_to_front(caption, places[caption.name][0]))


def _moved_to_front(caption: Caption, place: Piece) -> tuple[Edit, ...]:
    """The edits that do so, where the trigger is a tag of its own."""
    at = next((at for at, tag in enumerate(caption.tags) if (tag.start, tag.end) == (place.start, place.end)), None)
    if at is None or at == 0:
        return ()
    first = caption.tags[0]
    return (
        Edit(first.start, first.start, f"{place.text}, "),
        Edit(caption.tags[at - 1].end, caption.tags[at].end, ""),
    )


CHECKS: Final = (
    Check(
        "trigger-unknown",
        "warning",
        "No word is common to the captions: nothing would call what was learnt. Name it in captions.toml if there is "
        "one.",
        "never",
        GOOD,
        (),
        _unknown,
    ),
    Check(
        "trigger-misspelt",
        "error",
        "{text!r} is nearly the trigger {trigger!r}: the picture would teach another word.",
        "suggested",
        GOOD,
        (
            changed("pixchar", "pixcahr"),
            changed("pixchar", "pixchr"),
            changed("pixchar", "pix char"),
            changed("pixchar, pixel", "pixcharpixel"),
            changed("smile", "smile, pixchat"),
        ),
        _misspelt,
    ),
    Check(
        "trigger-missing",
        "error",
        "The trigger {trigger!r} is missing: the picture would be learnt without it.",
        "suggested",
        (*GOOD, Example(RIGHT[9:], parameters={"caption_prefix": "pixchar,"})),
        (changed("pixchar, ", ""),),
        _missing,
    ),
    Check(
        "trigger-case",
        "warning",
        "{text!r} is written {trigger!r} elsewhere.",
        "safe",
        GOOD,
        (changed("pixchar", "PixChar"), changed("pixchar", "Pixchar")),
        _capitals,
    ),
    Check(
        "trigger-place",
        "warning",
        "The trigger {trigger!r} stands first in the other captions.",
        "safe",
        GOOD,
        (Example(RIGHT[9:].replace("smile", "smile, pixchar")), Example(RIGHT[9:] + ", pixchar")),
        _displaced,
    ),
)
