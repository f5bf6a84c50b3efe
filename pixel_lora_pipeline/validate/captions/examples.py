"""A caption that nothing is wrong with, for the examples of the checks."""

from typing import Final

from pixel_lora_pipeline.validate.captions.check import Example

RIGHT: Final = (
    "pixchar, pixel art portrait, pink hair #ff69b4, green background #2e9e44, light skin #f6d3b3, red lips #c0392b, "
    "blue eyes #2f5fd0, gold crown #ffd700, white shirt #f4f4f4, smile, "
    "palette #1b1b1f #8a8a8f #7a4a26 #d62828 #1fa6a0"
)
GOOD: Final = (Example(RIGHT),)


def changed(old: str, new: str) -> Example:
    """The right caption with one thing replaced."""
    if old not in RIGHT:
        raise ValueError(f"{old!r} is not in the caption that examples are made of")
    return Example(RIGHT.replace(old, new))
