"""What Kohya's trainer would only find out while it trains: combinations that it crashes on, and such as do nothing."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from PIL import Image, UnidentifiedImageError

from pixel_lora_pipeline.train.dataset_options import Subset, TrainingData
from pixel_lora_pipeline.train.training_images import image_files

# Kohya's defaults (kohya_parameters.csv).
_BUCKET_STEPS: Final = 64
_SMALLEST_BUCKET: Final = 256
_LARGEST_BUCKET: Final = 1024
# Without one of these, Kohya takes the caption as it stands.
_VARYING: Final = ("shuffle_caption", "caption_tag_dropout_rate", "token_warmup_step")
_USUAL_EXTENSIONS: Final = (".txt", ".caption")
# Below this share of the weight, a network learns so slowly that a default is the more likely reason than a wish.
_LEAST_SCALE: Final = 0.1


def faults(arguments: Mapping[str, Any], data: TrainingData, *, is_sdxl: bool) -> Iterator[str]:
    """What keeps Kohya from training, a sentence each.

    Parameters
    ----------
    arguments
        As they stand in the configuration file.
    data
        The pictures, with all options that hold for each of their folders.
    is_sdxl
        Whether the base model is of that kind.
    """
    yield from _contradictions(arguments)
    yield from _lost_epochs(arguments)
    if arguments.get("cache_text_encoder_outputs") and not is_sdxl:
        yield "cache_text_encoder_outputs = true: only the script for SDXL has it; leave it out"
    for subset in data.subsets:
        yield from _picture_faults(arguments, subset, step_unit=32 if is_sdxl else _BUCKET_STEPS)


def notes(arguments: Mapping[str, Any], data: TrainingData) -> Iterator[str]:
    """What is allowed, and probably not meant; a sentence each."""
    for subset in data.trained:
        options = {**arguments, **subset.options}
        if options.get("keep_tokens") and not any(options.get(name) for name in _VARYING):
            yield (
                f"keep_tokens = {options['keep_tokens']} does nothing for {subset.folder} without "
                "shuffle_caption, caption_tag_dropout_rate or token_warmup_step."
            )
    dim, alpha = arguments.get("network_dim"), arguments.get("network_alpha")
    if dim and alpha and alpha / dim < _LEAST_SCALE:
        yield (
            f"network_alpha = {alpha:g} with network_dim = {dim}: what is learnt is multiplied by {alpha / dim:.2g}. "
            "1 is Kohya's default where network_alpha is not set."
        )


def _contradictions(arguments: Mapping[str, Any]) -> Iterator[str]:
    given = {name for name, value in arguments.items() if value}
    if {"network_train_unet_only", "network_train_text_encoder_only"} <= given:
        yield "network_train_unet_only and network_train_text_encoder_only are both true: drop one of them"
    for precision in ("fp16", "bf16"):
        if f"full_{precision}" in given and arguments.get("mixed_precision") != precision:
            yield f"full_{precision} = true: Kohya wants mixed_precision = '{precision}' with it"
    if "cache_text_encoder_outputs" in given:
        if "network_train_unet_only" not in given:
            yield "cache_text_encoder_outputs = true: Kohya wants network_train_unet_only = true with it"
        dropped = {"caption_dropout_rate", "caption_tag_dropout_rate", "caption_dropout_every_n_epochs"} & given
        if dropped:
            yield f"cache_text_encoder_outputs = true: captions that are cached cannot vary; drop {min(dropped)}"


def _lost_epochs(arguments: Mapping[str, Any]) -> Iterator[str]:
    if arguments.get("save_last_n_epochs"):
        yield "save_last_n_epochs: Kohya would delete epochs before they are evaluated; leave it out"
    if arguments.get("no_metadata"):
        yield "no_metadata = true: nothing would say which epoch a file is; leave it out"


def _picture_faults(arguments: Mapping[str, Any], subset: Subset, step_unit: int) -> Iterator[str]:
    options = {**arguments, **subset.options}
    folder = Path(str(options["image_dir"]))
    pictures = image_files(folder)
    if not pictures:
        yield f"{folder} holds no picture"
        return
    if options.get("resolution") is None:
        yield "resolution is not set: Kohya wants one, as in '512,512'"
    elif options.get("enable_bucket"):
        yield from _bucket_faults(options, pictures, step_unit)
    if arguments.get("cache_latents") and (options.get("color_aug") or options.get("random_crop")):
        yield f"cache_latents = true with color_aug or random_crop in {subset.folder}: cached pictures cannot vary"
    if arguments.get("cache_text_encoder_outputs") and any(options.get(name) for name in _VARYING):
        yield f"cache_text_encoder_outputs = true with captions that vary in {subset.folder}: cached ones cannot"
    yield from _missing_captions(str(options["caption_extension"]), folder, pictures)


def _missing_captions(extension: str, folder: Path, pictures: list[Path]) -> Iterator[str]:
    if any(picture.with_suffix(extension).is_file() for picture in pictures):
        return
    for other in _USUAL_EXTENSIONS:
        found = sum(picture.with_suffix(other).is_file() for picture in pictures)
        if other != extension and found:
            yield (
                f"caption_extension = {extension!r}: no picture in {folder} has such a caption, and {found} have a "
                f"{other}; Kohya would train on the folder's name instead. Set caption_extension = '{other}'"
            )


def _bucket_faults(options: Mapping[str, Any], pictures: list[Path], step_unit: int) -> Iterator[str]:
    sides = options["resolution"] if isinstance(options["resolution"], list) else [options["resolution"]] * 2
    steps = options.get("bucket_reso_steps") or _BUCKET_STEPS
    smallest = options.get("min_bucket_reso") or _SMALLEST_BUCKET
    largest = options.get("max_bucket_reso") or _LARGEST_BUCKET
    if steps % step_unit:
        yield f"bucket_reso_steps = {steps}: Kohya wants a multiple of {step_unit} for this base model"
    if options.get("bucket_no_upscale"):
        yield from _too_small(pictures, sides[0] * sides[1], steps)
    if not smallest <= min(sides) <= max(sides) <= largest:
        yield (
            f"resolution = {sides[0]},{sides[1]} lies outside of min_bucket_reso = {smallest} to max_bucket_reso = "
            f"{largest}: Kohya refuses that; set both, or enable_bucket = false"
        )


def _too_small(pictures: list[Path], area: int, steps: int) -> Iterator[str]:
    small = [picture for picture in pictures if _shorter_side(picture, area) < steps]
    if small:
        yield (
            f"bucket_no_upscale = true: {len(small)} of {len(pictures)} pictures, {small[0].name} first, are narrower "
            f"than bucket_reso_steps = {steps} when they fit the resolution, and Kohya divides by zero there; leave "
            "bucket_no_upscale out, with resize_interpolation = 'nearest' pixels stay sharp"
        )


def _shorter_side(picture: Path, area: int) -> float:
    """In pixels, after Kohya has made a picture smaller that has more than the resolution's; infinite if unreadable."""
    try:
        with Image.open(picture) as opened:
            width, height = opened.size
    except (OSError, UnidentifiedImageError):  # the check of captions says so
        return math.inf
    return min(width, height) * min(1.0, math.sqrt(area / (width * height)))
