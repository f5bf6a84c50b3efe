"""Pixel-art portraits with captions, in a folder that Kohya's trainer and ours can train on."""

import io
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from PIL import Image

from pixel_lora_pipeline.embedded.captioning import TRIGGER, plain_tags
from pixel_lora_pipeline.embedded.portrait import Portrait, draw_portrait
from pixel_lora_pipeline.embedded.render import render_pixel
from pixel_lora_pipeline.whole_file import write_whole

CAPTION_EXTENSION: Final = ".txt"

CaptionStyle = Literal["complete", "no background", "trigger only"]


def write_demo_dataset(folder: Path, count: int, seed: int, caption_style: CaptionStyle = "complete") -> Path:
    """Renders random portraits as pixel art into a folder, each with its caption beside it.

    Portraits that are held out to test the base model are not among them. The same arguments always write the
    same bytes; a larger `count` adds portraits to those of a smaller one.

    Parameters
    ----------
    folder
        The folder of the pictures. For a training it is called `N_name`, and its parent is `train_data_dir`.
    count
        Number of portraits.
    seed
        Decides which.
    caption_style
        "complete" names trigger, style and every attribute; "no background" leaves the background out,
        "trigger only" everything but trigger and style, to show what such captions do.

    Returns
    -------
    Path
        `folder`.

    Raises
    ------
    ValueError
        If `count` is below 1, or the style is unknown.
    FileExistsError
        If the folder holds other files, which a training would take too.
    """
    if count < 1:
        raise ValueError(f"count is {count}; it has to be at least 1")
    if caption_style not in get_args(CaptionStyle):
        raise ValueError(f"caption_style is {caption_style!r}, not one of {', '.join(get_args(CaptionStyle))}")
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index:04d}{suffix}" for index in range(count) for suffix in (".png", CAPTION_EXTENSION)]
    foreign = sorted({path.name for path in folder.iterdir()} - set(names))
    if foreign:
        raise FileExistsError(f"{folder} already holds {foreign[0]} and maybe more; name an empty folder")
    for index in range(count):
        portrait = draw_portrait(rng)
        while portrait.held_out:
            portrait = draw_portrait(rng)
        picture = io.BytesIO()
        Image.fromarray(render_pixel(portrait)).save(picture, format="PNG")
        write_whole(folder / f"{index:04d}.png", picture.getvalue())
        write_whole(folder / f"{index:04d}{CAPTION_EXTENSION}", _caption(portrait, caption_style).encode())
    return folder


def _caption(portrait: Portrait, style: CaptionStyle) -> str:
    tags = () if style == "trigger only" else plain_tags(portrait)
    if style == "no background":
        tags = tuple(tag for tag in tags if not tag.endswith(" background"))
    return ", ".join((TRIGGER, "pixel art portrait", *tags))
