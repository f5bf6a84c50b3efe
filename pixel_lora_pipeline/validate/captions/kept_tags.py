"""Whether `keep_tokens` keeps in place what has to stay: the trigger and the background."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from pixel_lora_pipeline.train.captions import CaptionOptions
from pixel_lora_pipeline.validate.captions.caption import Caption
from pixel_lora_pipeline.validate.captions.check import Check, Example, Hit
from pixel_lora_pipeline.validate.captions.corpus import Corpus
from pixel_lora_pipeline.validate.captions.examples import GOOD, RIGHT

# A number of tags that covers this share of the captions is worth naming; the rest has its tags in another place.
_MOST: Final = 0.95


def _trigger_moves(corpus: Corpus) -> Iterator[Hit]:
    trigger = corpus.trigger
    if trigger is not None:
        yield from _moving(corpus, lambda caption: _last_tag(caption, {p.start for p in trigger.places(caption)[:1]}))


def _background_moves(corpus: Corpus) -> Iterator[Hit]:
    yield from _moving(corpus, _background)


def _background(caption: Caption) -> int | None:
    places = [at for at, tag in enumerate(caption.tags) if tag.asks_for.background is not None]
    return places[0] if places else None


def _last_tag(caption: Caption, starts: set[int]) -> int | None:
    return next(
        (at for at, tag in enumerate(caption.tags) if any(tag.start <= start < tag.end for start in starts)), None
    )


def _moving(corpus: Corpus, place_of: Callable[[Caption], int | None]) -> Iterator[Hit]:
    """One hit for all captions of a folder, whose options are the same."""
    needs: dict[CaptionOptions, dict[str, int]] = {}
    for caption in corpus.written:
        options = corpus.by_name[caption.name].options
        place = place_of(caption)
        if place is not None and options.varies:
            needs.setdefault(options, {})[caption.name] = _tags_needed(caption, options, place)
    for options, needed in needs.items():
        kept = options.keep_tokens or 0
        short = tuple(name for name, number in needed.items() if number > kept)
        if short:
            values = {"kept": kept, "short": len(short), "of": len(needed), "enough": _enough(needed)}
            yield Hit(short, values)


def _tags_needed(caption: Caption, options: CaptionOptions, place: int) -> int:
    """How many tags have to be kept; 0 where the caption's own separator keeps them already.

    A prefix is joined to the first tag, with all the tags that it has of its own.
    """
    mark = options.keep_tokens_separator
    if mark and mark in caption.text and caption.tags[place].start < caption.text.index(mark):
        return 0
    return place + 1 + options.caption_prefix.count(options.caption_separator)


def _enough(needed: dict[str, int]) -> int:
    counts, covered = Counter(needed.values()), 0
    for number in sorted(counts):
        covered += counts[number]
        if covered >= _MOST * len(needed):
            return number
    return max(counts)


def _idle(corpus: Corpus) -> Iterator[Hit]:
    options = {corpus.by_name[caption.name].options for caption in corpus.written}
    for each in sorted(options, key=repr):
        if each.keep_tokens and each.varies is False:
            yield Hit((), {"kept": each.keep_tokens})


_SHUFFLED: Final = {"shuffle_caption": True}

CHECKS: Final = (
    Check(
        "keep-tokens-trigger",
        "error",
        "keep_tokens = {kept} leaves the trigger to be shuffled or dropped in {short} of {of} captions; "
        "{enough} would keep it.",
        "never",
        (
            *GOOD,
            Example(RIGHT, parameters={**_SHUFFLED, "keep_tokens": 1}),
            Example(RIGHT, parameters={"keep_tokens": 0}),
        ),
        (Example(RIGHT, parameters=_SHUFFLED), Example(RIGHT, parameters={"caption_tag_dropout_rate": 0.1})),
        _trigger_moves,
    ),
    Check(
        "keep-tokens-background",
        "warning",
        "keep_tokens = {kept} leaves the background to be shuffled or dropped in {short} of {of} captions; "
        "{enough} would keep it.",
        "never",
        (*GOOD, Example(RIGHT, parameters={**_SHUFFLED, "keep_tokens": 4})),
        (Example(RIGHT, parameters={**_SHUFFLED, "keep_tokens": 3}),),
        _background_moves,
    ),
    Check(
        "keep-tokens-idle",
        "warning",
        "keep_tokens = {kept} does nothing: captions are neither shuffled nor is any tag dropped or warmed up.",
        "never",
        (*GOOD, Example(RIGHT, parameters={**_SHUFFLED, "keep_tokens": 4})),
        (Example(RIGHT, parameters={"shuffle_caption": False, "keep_tokens": 4}),),
        _idle,
    ),
)
