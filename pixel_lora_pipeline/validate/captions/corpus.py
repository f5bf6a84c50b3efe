"""All captions of a dataset together: most of what is right in one of them shows in what the others do."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from pixel_lora_pipeline.train.captions import CaptionOptions, OwnRules
from pixel_lora_pipeline.validate.captions.caption import Caption, Piece, read_caption
from pixel_lora_pipeline.validate.captions.dictionary import Dictionary
from pixel_lora_pipeline.validate.captions.expression_words import expression_classes
from pixel_lora_pipeline.validate.captions.picture_colors import PictureColors
from pixel_lora_pipeline.validate.captions.trigger_word import Trigger, common_trigger

# "Pale lips" are said, as pale skin is; "full lips" say nothing of what to paint them with.
_LIPS_TONE: Final = re.compile(r"\b(?:pale|light|dark|deep|nude|natural|rosy)\b[a-z ]*\b(?:lips?|lipstick)\b")

USUAL: Final = 0.8
"""Share of the captions from which on something is how this dataset does it, and the others are exceptions."""

Encoder = Callable[[Sequence[str]], Sequence[int]]
"""Numbers of tokens of texts, start and end not counted."""


@dataclass(frozen=True)
class CaptionedPicture:
    """A caption file, or the place of one, with the picture that it belongs to.

    Attributes
    ----------
    name
        Of the caption file within the dataset.
    text
        Of the whole file; None if there is none, or none that can be read.
    is_unreadable
        Whether there is a file that is no UTF-8 text.
    has_picture
        Whether there is a picture.
    colors
        Of the picture; None if it was not looked at, or shows nothing.
    options
        What the training makes of captions in this folder.
    other_file
        What would be the caption but for its extension.
    """

    name: str
    text: str | None
    is_unreadable: bool = False
    has_picture: bool = True
    colors: PictureColors | None = None
    options: CaptionOptions = CaptionOptions()  # noqa: RUF009 - frozen
    other_file: str | None = None


class Corpus:
    """The captions of a dataset, read, and what most of them have in common.

    Parameters
    ----------
    pictures
        In the order of their names.
    rules
        What the dataset says of itself.
    encoders
        Those of the base model, by name; without one, tokens are not counted.
    """

    def __init__(
        self,
        pictures: Sequence[CaptionedPicture],
        rules: OwnRules = OwnRules(),  # noqa: B008 - frozen
        encoders: Mapping[str, Encoder] | None = None,
    ) -> None:
        self.pictures = tuple(pictures)
        self.rules = rules
        self.encoders = dict(encoders or {})
        self.by_name = {picture.name: picture for picture in self.pictures}
        self.captions: tuple[Caption, ...] = tuple(
            read_caption(
                each.name, each.text, each.options.caption_separator or ",", each.options.keep_tokens_separator
            )
            for each in self.pictures
            if each.text is not None
        )
        self.written = tuple(caption for caption in self.captions if caption.tags)

    @cached_property
    def words(self) -> Counter[str]:
        """In how many captions each word stands, in lower case."""
        return Counter(word for caption in self.written for word in {piece.text.lower() for piece in caption.words})

    @cached_property
    def forms(self) -> Counter[str]:
        """In how many captions each tag stands, by its form."""
        return Counter(form for caption in self.written for form in set(caption.forms))

    @cached_property
    def dictionary(self) -> Dictionary:
        """How words are spelt here."""
        more = () if self.trigger is None else self.trigger.words
        return Dictionary(self.words, len(self.written), (*self.rules.words, *more))

    @cached_property
    def trigger(self) -> Trigger | None:
        """What calls the style: as the dataset says, else what nearly all captions have; None if there is none."""
        if self.rules.trigger is not None:
            return Trigger.of(self.rules.trigger)
        return common_trigger(self.written)

    @cached_property
    def near_triggers(self) -> Mapping[str, list[Piece]]:
        """By caption, what was probably meant to be the trigger."""
        trigger = self.trigger
        return {caption.name: [] if trigger is None else trigger.near_misses(caption) for caption in self.written}

    @cached_property
    def n_with_codes(self) -> int:
        """How many captions have a colour code."""
        return sum(bool(caption.codes) for caption in self.written)

    @cached_property
    def lips(self) -> Mapping[str, str | None]:
        """By caption that says so, the colour of the lips; None where it says no more than how light they are."""
        toned = {
            caption.name: None for caption in self.written if any(_LIPS_TONE.search(tag.form) for tag in caption.tags)
        }
        return {**toned, **self.colors_of("lips")}

    def colors_of(self, region: str) -> dict[str, str | None]:
        """By caption that says so, the colour of a region: hair, background, skin or lips."""
        stated = {}
        for caption in self.written:
            for tag in caption.tags:
                color = getattr(tag.asks_for, region)
                if color is not None:
                    stated[caption.name] = tag.color_of(color)
                    break
        return stated

    @cached_property
    def expressions(self) -> Mapping[str, tuple[tuple[str, str], ...]]:
        """By caption, the tags that name an expression, each with its class."""
        return {
            caption.name: tuple((tag.text, name) for tag in caption.tags for name in expression_classes(tag.form))
            for caption in self.written
        }

    def is_usual(self, number: int, of: int | None = None) -> bool:
        """Whether so many captions make it this dataset's way; among fewer than five there is none."""
        total = len(self.written) if of is None else of
        return total >= 5 and number >= USUAL * total
