"""A small dataset in which nothing is wrong, into which the examples of the checks are put."""

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from pixel_lora_pipeline.train.captions.options import caption_options
from pixel_lora_pipeline.train.captions.own_rules import OwnRules
from pixel_lora_pipeline.validate.captions import CaptionedPicture, Corpus, Encoder, Example, PictureColors
from pixel_lora_pipeline.validate.captions.examples import RIGHT
from pixel_lora_pipeline.validate.colorspace import rgb_of_hex

USUAL = {"caption_extension": ".txt", "max_token_length": 225}
HAIR = ("pink", "blue", "brown", "black", "green", "red")
GROUND = ("green", "red", "yellow", "white", "blue", "pink")
EXPRESSIONS = ("smile", "neutral expression", "frown", "angry expression")


def others(number: int = 24) -> list[str]:
    """Captions like the right one, of other pictures."""
    rng = np.random.default_rng(7)
    texts = []
    for index in range(number):
        text = RIGHT.replace("pink hair", f"{HAIR[index % 6]} hair").replace(
            "green background", f"{GROUND[(index * 5 + index // 6) % 6]} background"
        )
        text = text.replace("smile", EXPRESSIONS[index % 4])
        texts.append(re.sub("#[0-9a-f]{6}", lambda _: f"#{rng.integers(1 << 24):06x}", text))
    return texts


def colors_of(text: str) -> PictureColors:
    """A picture that has just the colours that a caption names."""
    codes = sorted(set(re.findall("#[0-9a-f]{6}", text)))
    rgb = np.array([rgb_of_hex(code) for code in codes], dtype=np.uint8)
    return PictureColors(rgb, hashlib.sha256(text.encode()).hexdigest())


def picture(name: str, text: str | None, shows: str, parameters: Mapping[str, Any]) -> CaptionedPicture:
    unreadable = text is not None and "\udce9" in text
    return CaptionedPicture(
        name,
        None if unreadable else text,
        is_unreadable=unreadable,
        colors=colors_of(shows),
        options=caption_options({**USUAL, **parameters}),
    )


def corpus_with(example: Example, rules: OwnRules | None = None) -> Corpus:
    """The dataset with the example's caption, or two, among its own."""
    parameters = example.parameters
    pictures = [picture(f"{index:02d}.txt", text, text, parameters) for index, text in enumerate(others())]
    own = picture("example.txt", example.text, RIGHT, parameters)
    if not example.has_picture:
        own = CaptionedPicture(own.name, own.text, has_picture=False, options=own.options)
    pictures.append(own)
    if example.second is not None:
        pictures.append(picture("second.txt", example.second, RIGHT + "#123456", parameters))
    encoders: dict[str, Encoder] = {"the text encoder": lambda texts: [len(re.findall(r"\w|,", t)) for t in texts]}
    return Corpus(pictures, rules or OwnRules(), encoders)
