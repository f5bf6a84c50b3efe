"""Training pictures with captions, in folders as Kohya's trainer takes them, and their latents."""

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from skimage.color import hsv2rgb, rgb2hsv
from torch import Tensor

from pixel_lora_pipeline.embedded.lora_config import ConfigError, LoraConfig

IMAGE_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})

# Kohya's `color_aug`, in its own units: hue in half degrees, gamma on 8-bit values.
_COLOR_AUG_SHARE: Final = 0.33
_HUE_SHIFT: Final = 8.0
_GAMMA: Final = (0.95, 1.05)

_ENCODE_AT_ONCE: Final = 16

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Picture:
    """A training picture: uint8 (h, w, 3), and its caption."""

    path: Path
    caption: str
    pixels: NDArray[np.uint8]


@dataclass(frozen=True)
class PictureFolder:
    """A folder `N_name`: pictures, each shown `repeats` times an epoch."""

    name: str
    repeats: int
    pictures: tuple[Picture, ...]

    @property
    def tag_frequency(self) -> dict[str, int]:
        """How many captions have each tag, lower case, in the order in which tags appear."""
        tags = (tag.strip().lower() for picture in self.pictures for tag in picture.caption.split(","))
        return dict(Counter(tag for tag in tags if tag))


@dataclass(frozen=True)
class TrainingSet:
    """All pictures of a training."""

    folders: tuple[PictureFolder, ...]

    @property
    def pictures(self) -> list[Picture]:
        """Each picture once."""
        return [picture for folder in self.folders for picture in folder.pictures]

    @property
    def epoch(self) -> NDArray[np.intp]:
        """What one epoch shows: indices into `pictures`, with repeats, in order."""
        repeats = [folder.repeats for folder in self.folders for _ in folder.pictures]
        return np.repeat(np.arange(len(repeats)), repeats)


def read_training_set(folder: Path, config: LoraConfig, size: tuple[int, int]) -> TrainingSet:
    """The pictures of the `N_name` folders in a folder, with their captions.

    A caption is the first line of the file beside the picture that has the same name and
    `config.caption_extension`; without one it is the folder's name, as Kohya has it. Folders without a number
    are passed over, with a warning.

    Parameters
    ----------
    folder
        Kohya's `train_data_dir`.
    config
        `caption_extension`, `num_repeats`.
    size
        Width and height of the result. A picture of another size is scaled by nearest neighbour until it
        covers them, and cut at the centre.

    Raises
    ------
    ConfigError
        If there is no picture, or one cannot be read.
    """
    if not folder.is_dir():
        raise ConfigError([f"train_data_dir = {str(folder)!r}: there is no such folder"])
    folders = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        match = re.match(r"(\d+)_", place.name)
        if match is None or int(match[1]) == 0:
            _log.warning("%s is passed over: its name does not begin with a number of repeats, as in 4_name", place)
            continue
        pictures = tuple(_read_pictures(place, config.caption_extension, size))
        if pictures:
            folders.append(PictureFolder(place.name, config.num_repeats or int(match[1]), pictures))
    if not folders:
        raise ConfigError(
            [
                f"train_data_dir = {str(folder)!r}: no pictures; it has to be the parent of folders "
                "that hold them and are called 4_name or the like"
            ]
        )
    return TrainingSet(tuple(folders))


def _read_pictures(folder: Path, caption_extension: str, size: tuple[int, int]) -> Iterator[Picture]:
    class_tokens = folder.name.partition("_")[2]
    without = 0
    for path in sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES):
        try:
            with Image.open(path) as image:
                pixels = _fitted(image.convert("RGB"), size)
            lines = path.with_suffix(caption_extension).read_text(encoding="utf-8").strip().splitlines()
            caption = lines[0].strip() if lines else ""
        except FileNotFoundError:
            caption, without = class_tokens, without + 1
        except (UnidentifiedImageError, UnicodeDecodeError, OSError) as error:
            raise ConfigError([f"train_data_dir: {path} or its caption cannot be read: {error}"]) from error
        yield Picture(path, caption, pixels)
    if without:
        _log.warning(
            "%d pictures in %s have no %s file; their caption is %r",
            without,
            folder,
            caption_extension,
            class_tokens,
        )


def _fitted(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    if image.size != size:
        factor = max(size[0] / image.width, size[1] / image.height)
        covering = (max(size[0], round(image.width * factor)), max(size[1], round(image.height * factor)))
        image = image.resize(covering, Image.Resampling.NEAREST)
        left, top = (covering[0] - size[0]) // 2, (covering[1] - size[1]) // 2
        image = image.crop((left, top, left + size[0], top + size[1]))
    return np.asarray(image, dtype=np.uint8)


def batches(epoch: NDArray[np.intp], batch_size: int, rng: np.random.Generator) -> list[NDArray[np.intp]]:
    """An epoch's indices, shuffled and cut into batches; the last one may be smaller."""
    shuffled = rng.permutation(epoch)
    return [shuffled[start : start + batch_size] for start in range(0, len(shuffled), batch_size)]


def shift_color(pixels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Kohya's `color_aug`: a third of the pictures get a hue shift of up to ±16° or a gamma of 0.95–1.05.

    The gamma acts on values of 0–255, as in Kohya's trainer: 1.05 makes a picture brighter by a quarter.
    """
    if rng.random() > _COLOR_AUG_SHARE:
        return pixels
    if rng.random() > 0.5:
        hsv = rgb2hsv(pixels)
        hsv[..., 0] = (hsv[..., 0] + rng.uniform(-_HUE_SHIFT, _HUE_SHIFT) / 180) % 1.0
        return np.asarray(hsv2rgb(hsv) * 255 + 0.5, dtype=np.uint8)
    return np.asarray(np.clip(pixels.astype(np.float64) ** rng.uniform(*_GAMMA), 0, 255), dtype=np.uint8)


class Latents:
    """The pictures as the U-Net sees them, encoded once with `cache_latents`, else each time.

    The encoder's mean is taken, not a sample, so that a picture always has the same latent.
    """

    def __init__(self, autoencoder: Any, pictures: Sequence[Picture], config: LoraConfig) -> None:
        self._autoencoder = autoencoder
        self._pixels = [picture.pixels for picture in pictures]
        self._config = config
        self._straight = self._encode(self._pixels) if config.cache_latents else None
        self._flipped = (
            self._encode([_mirrored(pixels) for pixels in self._pixels])
            if config.cache_latents and config.flip_aug
            else None
        )

    def of(self, indices: NDArray[np.intp], rng: np.random.Generator) -> Tensor:
        """Latents float32 (b, c, h, w) of the pictures, each mirrored and recoloured as configured."""
        flips = rng.random(len(indices)) < 0.5 if self._config.flip_aug else np.zeros(len(indices), dtype=bool)
        if self._straight is not None:
            chosen = [
                self._flipped[index] if self._flipped is not None and flip else self._straight[index]
                for index, flip in zip(indices, flips, strict=True)
            ]
            return torch.stack(chosen)
        shown = []
        for index, flip in zip(indices, flips, strict=True):
            pixels = shift_color(self._pixels[index], rng) if self._config.color_aug else self._pixels[index]
            shown.append(_mirrored(pixels) if flip else pixels)
        return self._encode(shown)

    @torch.no_grad()
    def _encode(self, pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
        encoded = []
        for start in range(0, len(pictures), _ENCODE_AT_ONCE):
            part = np.stack(pictures[start : start + _ENCODE_AT_ONCE])
            images = torch.from_numpy(part).permute(0, 3, 1, 2).float() / 127.5 - 1.0
            encoded.append(self._autoencoder.encode(images).latent_dist.mean)
        return torch.cat(encoded) * float(self._autoencoder.config.scaling_factor)


def _mirrored(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(pixels[:, ::-1])
