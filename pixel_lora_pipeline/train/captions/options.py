"""What a training's parameters say about captions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pixel_lora_pipeline.train.parameter_table import parameter_table, typed_value

_READ: Final = (
    "caption_extension",
    "caption_separator",
    "keep_tokens",
    "keep_tokens_separator",
    "caption_prefix",
    "caption_suffix",
    "enable_wildcard",
    "max_token_length",
)
# Without one of these, Kohya takes the caption as it stands, and keep_tokens has no effect.
_VARYING: Final = ("shuffle_caption", "caption_tag_dropout_rate", "token_warmup_step")


@dataclass(frozen=True)
class CaptionOptions:
    """The parameters that decide what is made of a caption file; None: not known, or not set.

    Attributes
    ----------
    varies
        Whether tags are shuffled, dropped or warmed up, so that `keep_tokens` matters; None if not known.
    max_token_length
        Tokens that a text encoder is given, start and end not counted: 75, 150 or 225.
    """

    caption_extension: str | None = None
    caption_separator: str = ","
    keep_tokens: int | None = None
    keep_tokens_separator: str | None = None
    caption_prefix: str = ""
    caption_suffix: str = ""
    enable_wildcard: bool = False
    max_token_length: int = 75
    varies: bool | None = None

    def whole(self, caption: str) -> str:
        """The caption as the text encoder is given it, with prefix and suffix."""
        parts = (self.caption_prefix, caption, self.caption_suffix)
        return " ".join(part for part in parts if part)


def caption_options(parameters: Mapping[str, Any]) -> CaptionOptions:
    """The options among a training's parameters, by Kohya's names.

    Raises
    ------
    ValueError
        If one of them is not of its type.
    """
    table = parameter_table()
    given: dict[str, Any] = {}
    for name in (*_READ, *_VARYING):
        if name not in parameters:
            continue
        try:
            given[name] = typed_value(table[name], parameters[name])
        except ValueError as error:
            raise ValueError(f"{name} = {parameters[name]!r}: {error}") from error
    varying = [given[name] for name in _VARYING if name in given]
    set_ones = {name: given[name] for name in _READ if given.get(name) is not None}
    return CaptionOptions(**set_ones, varies=any(varying) if varying or "keep_tokens" in given else None)
