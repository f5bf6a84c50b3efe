"""Whether every picture has a caption of its own."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from pixel_lora_pipeline.validate.captions.caption import Caption
from pixel_lora_pipeline.validate.captions.check import Check, Edit, Example, Hit
from pixel_lora_pipeline.validate.captions.corpus import Corpus
from pixel_lora_pipeline.validate.captions.examples import GOOD, RIGHT

_NAMED: Final = 3


def _missing_captions(corpus: Corpus) -> Iterator[Hit]:
    for each in corpus.pictures:
        if each.has_picture and each.text is None and not each.is_unreadable:
            hint = (
                f"There is {each.other_file}: the training reads {each.name}, as its caption_extension says."
                if each.other_file
                else "The training would take the folder's name for it."
            )
            yield Hit((each.name,), {"hint": hint})


def _missing_pictures(corpus: Corpus) -> Iterator[Hit]:
    yield from (Hit((each.name,)) for each in corpus.pictures if not each.has_picture)


def _unreadable(corpus: Corpus) -> Iterator[Hit]:
    yield from (Hit((each.name,)) for each in corpus.pictures if each.is_unreadable)


def _empty(corpus: Corpus) -> Iterator[Hit]:
    yield from (Hit((each.name,)) for each in corpus.captions if not each.tags)


def _second_lines(corpus: Corpus) -> Iterator[Hit]:
    for caption in corpus.written:
        if caption.rest.strip() and not corpus.by_name[caption.name].options.enable_wildcard:
            yield Hit((caption.name,), {"rest": " ".join(caption.rest.split())[:60]}, (_joined(caption),))


def _joined(caption: Caption) -> Edit:
    """The lines as one, with separators between them."""
    first = caption.text.rstrip()
    whole = (caption.text + caption.rest).rstrip()
    parts = [line.strip().strip(",").strip() for line in whole[len(first) :].splitlines() if line.strip()]
    return Edit(len(first), len(whole), ("" if first.endswith(",") else ",") + " " + ", ".join(parts))


def _duplicates(corpus: Corpus) -> Iterator[Hit]:
    same: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for caption in corpus.written:
        if corpus.by_name[caption.name].has_picture:
            codes = tuple(code.hex or code.text for code in caption.codes)
            same[caption.forms + codes].append(caption.name)
    for names in same.values():
        pictures = {_picture(corpus, name) for name in names}
        if len(pictures) > 1:
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            yield Hit(tuple(names), {"names": ", ".join(names[:_NAMED]) + more})


def _picture(corpus: Corpus, name: str) -> str:
    colors = corpus.by_name[name].colors
    return name if colors is None else colors.picture


CHECKS: Final = (
    Check(
        "missing-caption",
        "error",
        "The picture has no caption. {hint}",
        "never",
        GOOD,
        (Example(None),),
        _missing_captions,
    ),
    Check(
        "missing-picture",
        "warning",
        "There is no picture for this caption.",
        "never",
        GOOD,
        (Example(RIGHT, has_picture=False),),
        _missing_pictures,
    ),
    Check(
        "unreadable",
        "error",
        "The file is not UTF-8, and the training would stop at it. Save it as UTF-8.",
        "never",
        GOOD,
        (Example("pixchar, café\udce9"),),
        _unreadable,
    ),
    Check(
        "empty-caption",
        "error",
        "The caption is empty, or its first line is: the picture would be learnt without any word, the trigger "
        "included.",
        "never",
        GOOD,
        (Example(""), Example(" \n"), Example(f"\n{RIGHT}")),
        _empty,
    ),
    Check(
        "second-line",
        "error",
        "A training reads only the first line, and not: {rest}",
        "suggested",
        (*GOOD, Example(RIGHT + "\n"), Example(f"{RIGHT}\nin front", parameters={"enable_wildcard": True})),
        (Example(RIGHT.replace(", smile", "\nsmile")), Example(RIGHT.replace(", smile", ",\r\n\r\nsmile") + "\r\n")),
        _second_lines,
    ),
    Check(
        "duplicate-caption",
        "error",
        "Different pictures have the same caption: {names}. At least one of them belongs to another picture, or says "
        "too little.",
        "never",
        GOOD,
        (Example(RIGHT, second=RIGHT), Example(RIGHT, second=RIGHT.replace(", ", ",  "))),
        _duplicates,
    ),
)
