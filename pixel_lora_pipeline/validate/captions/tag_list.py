"""Whether the tags of captions are set out alike: as tags, apart, in one order, each once."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from itertools import combinations
from statistics import fmean
from typing import Final

from pixel_lora_pipeline.validate.captions.caption import Caption, Tag
from pixel_lora_pipeline.validate.captions.check import Check, Edit, Example, Hit
from pixel_lora_pipeline.validate.captions.corpus import Corpus
from pixel_lora_pipeline.validate.captions.examples import GOOD, RIGHT, changed
from pixel_lora_pipeline.validate.captions.tag_kind import tag_kind

# Two kinds of tags have an order if this share of the captions with both keeps it, and so many have both.
_SAME_ORDER: Final = 0.95
_FEWEST_WITH_BOTH: Final = 10
# What two tags written as one fall apart into: tags of this many captions, against one as a whole.
_FEWEST_WITH_TAG: Final = 3
_MORE_FREQUENT: Final = 4
# Tags are a few words, sentences many; what lies between is neither.
_TAG_WORDS: Final = 4.0
_SENTENCE_WORDS: Final = 6.0
_FEWEST_TAGS: Final = 3


def _repeated(corpus: Corpus) -> Iterator[Hit]:
    for caption in corpus.written:
        seen: set[tuple[str, ...]] = set()
        for at, tag in enumerate(caption.tags):
            meaning = (tag.form, *(code.hex or code.text for code in tag.codes))
            if meaning in seen:
                edit = Edit(caption.tags[at - 1].end, tag.end, "")
                yield Hit((caption.name,), {"tag": tag.text}, (edit,))
            seen.add(meaning)


def _run_together(corpus: Corpus) -> Iterator[Hit]:
    for caption in corpus.written:
        for tag in caption.tags:
            place = _break_of(tag, corpus)
            if place is not None:
                first, second = tag.text[:place].rstrip(), tag.text[place:].strip()
                edit = Edit(tag.start + len(first), tag.start + len(tag.text) - len(second), ", ")
                yield Hit((caption.name,), {"first": first, "second": second}, (edit,))


def _break_of(tag: Tag, corpus: Corpus) -> int | None:
    """Where a tag falls apart into two that other captions have; None if it is one tag."""
    words = tag.form.split(" ")
    own = corpus.forms[tag.form]
    if len(words) < 2 or len(tag.text.split()) != len(words):
        return None
    enough = max(_FEWEST_WITH_TAG, _MORE_FREQUENT * own)
    best: tuple[int, int] | None = None
    for at in range(1, len(words)):
        both = min(corpus.forms[" ".join(words[:at])], corpus.forms[" ".join(words[at:])])
        if both >= enough and (best is None or both > best[0]):
            best = (both, at)
    return None if best is None else len(" ".join(tag.text.split(" ")[: best[1]]))


def _out_of_order(corpus: Corpus) -> Iterator[Hit]:
    kinds = {caption.name: _first_of_kind(caption, corpus) for caption in corpus.written}
    usual = _usual_order(kinds)
    ranks = _mean_ranks(kinds)
    for caption in corpus.written:
        first = kinds[caption.name]
        wrong = [
            (one, other)
            for one, other in combinations(sorted(first, key=first.__getitem__), 2)
            if usual.get((other, one))
        ]
        if wrong:
            one, other = wrong[0]
            values = {
                "one": caption.tags[first[one]].text,
                "other": caption.tags[first[other]].text,
                "share": f"{100 * usual[other, one]:.0f}",
            }
            yield Hit((caption.name,), values, tuple(_in_order(caption, corpus, wrong, ranks)))


def _first_of_kind(caption: Caption, corpus: Corpus) -> dict[str, int]:
    first: dict[str, int] = {}
    for at, tag in enumerate(caption.tags):
        kind = tag_kind(tag, corpus)
        if kind is not None:
            first.setdefault(kind, at)
    return first


def _usual_order(kinds: Mapping[str, Mapping[str, int]]) -> dict[tuple[str, str], float]:
    """Pairs of kinds of which the first stands before the second in nearly all captions, with the share of these."""
    before: Counter[tuple[str, str]] = Counter()
    for first in kinds.values():
        before.update(combinations(sorted(first, key=first.__getitem__), 2))
    found = {}
    for (one, other), number in before.items():
        both = number + before[other, one]
        if both >= _FEWEST_WITH_BOTH and number / both >= _SAME_ORDER:
            found[one, other] = number / both
    return found


def _mean_ranks(kinds: Mapping[str, Mapping[str, int]]) -> dict[str, float]:
    places: dict[str, list[int]] = defaultdict(list)
    for first in kinds.values():
        for kind, at in first.items():
            places[kind].append(at)
    return {kind: fmean(found) for kind, found in places.items()}


def _in_order(
    caption: Caption, corpus: Corpus, wrong: list[tuple[str, str]], ranks: Mapping[str, float]
) -> Iterator[Edit]:
    """The tags between the first and the last that stand wrong, in the usual order where they have one."""
    first = _first_of_kind(caption, corpus)
    places = [first[kind] for pair in wrong for kind in pair]
    span = caption.tags[min(places) : max(places) + 1]
    kinds = [tag_kind(tag, corpus) for tag in span]
    movable = [at for at, kind in enumerate(kinds) if kind is not None and first[kind] == min(places) + at]
    sorted_ones = sorted(movable, key=lambda at: ranks[str(kinds[at])])
    for place, source in zip(movable, sorted_ones, strict=True):
        if place != source:
            yield Edit(span[place].start, span[place].end, span[source].text)


def _other_style(corpus: Corpus) -> Iterator[Hit]:
    styles = {caption.name: _style(caption) for caption in corpus.written}
    for style, other in (("tags", "sentences"), ("sentences", "tags")):
        if corpus.is_usual(sum(each == style for each in styles.values())):
            for name, each in styles.items():
                if each == other:
                    yield Hit((name,), {"style": other, "usual": style})


def _style(caption: Caption) -> str | None:
    mean = fmean(len(tag.form.split()) - len(tag.codes) for tag in caption.tags)
    if mean <= _TAG_WORDS and len(caption.tags) >= _FEWEST_TAGS:
        return "tags"
    return "sentences" if mean > _SENTENCE_WORDS else None


CHECKS: Final = (
    Check(
        "repeated-tag",
        "warning",
        "{tag!r} stands there twice.",
        "safe",
        GOOD,
        (changed("smile", "smile, smile"), changed("smile", "pink hair #ff69b4, smile")),
        _repeated,
    ),
    Check(
        "missing-separator",
        "warning",
        "{first!r} and {second!r} are two tags in other captions: a separator is missing.",
        "suggested",
        GOOD,
        (changed("portrait, pink", "portrait pink"), changed("pixchar, pixel", "pixchar pixel")),
        _run_together,
    ),
    Check(
        "tag-order",
        "warning",
        "{one!r} stands before {other!r}; in {share} % of the captions with both it is the other way round.",
        "suggested",
        GOOD,
        (
            changed(
                "pink hair #ff69b4, green background #2e9e44, light skin #f6d3b3",
                "light skin #f6d3b3, green background #2e9e44, pink hair #ff69b4",
            ),
        ),
        _out_of_order,
    ),
    Check(
        "caption-style",
        "warning",
        "The caption is made of {style}, and the other ones of {usual}.",
        "never",
        GOOD,
        (Example("pixchar portrait of a smiling man with " + RIGHT.replace(",", " and") + " in front of us"),),
        _other_style,
    ),
)
