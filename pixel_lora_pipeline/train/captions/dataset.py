"""The pictures and captions of a training: a folder, Kohya's `train_data_dir`, or a `dataset_config`."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pixel_lora_pipeline.train.captions.caption_file import CaptionFile
from pixel_lora_pipeline.train.captions.options import CaptionOptions, caption_options
from pixel_lora_pipeline.train.captions.own_rules import OwnRules, read_own_rules
from pixel_lora_pipeline.train.dataset_options import read_dataset_config
from pixel_lora_pipeline.train.training_images import image_files

# What caption files are called by habit; Kohya's own default is the second, whatever people use.
_USUAL_EXTENSIONS: Final = (".txt", ".caption")
# A caption is a line of text; what is larger is some other file that happens to have its name.
_LARGEST_CAPTION: Final = 1_000_000


class DatasetError(ValueError):
    """A dataset that cannot be read: says what is wrong, where, and what to do."""


@dataclass(frozen=True)
class CaptionedFolder:
    """A folder of pictures with their captions.

    Attributes
    ----------
    pictures
        By name of the caption file, whether that is there or not.
    captions
        By name of the caption file; a caption without a picture is among them.
    other_captions
        Files that would be the missing captions, but for their extension.
    """

    path: Path
    options: CaptionOptions
    pictures: Mapping[str, Path]
    captions: Mapping[str, CaptionFile]
    other_captions: Mapping[str, Path]


@dataclass(frozen=True)
class Dataset:
    """All that a training learns from."""

    path: Path
    folders: tuple[CaptionedFolder, ...]
    rules: OwnRules

    @property
    def captions(self) -> dict[str, CaptionFile]:
        """All caption files by name."""
        return {name: file for folder in self.folders for name, file in folder.captions.items()}

    @property
    def pictures(self) -> dict[str, Path]:
        """All pictures by the name of their caption file."""
        return {name: path for folder in self.folders for name, path in folder.pictures.items()}


def read_dataset(path: Path, parameters: Mapping[str, Any] | None = None) -> Dataset:
    """Read the captions of a dataset, and see which pictures they belong to.

    Parameters
    ----------
    path
        A folder of pictures; a folder of such folders, as Kohya's `train_data_dir`; or a `dataset_config` TOML, whose
        folders may be relative to the current one or to the file.
    parameters
        Of the training, by Kohya's names. What the TOML says of a folder wins.

    Raises
    ------
    DatasetError
        If there are no pictures, or something cannot be read.
    """
    given = dict(parameters or {})
    if path.is_dir():
        own = [path] if image_files(path) else sorted(each for each in path.iterdir() if _has_pictures(each))
        described = [(folder, given) for folder in own]
    elif path.is_file():
        described = [(folder, given | options) for folder, options in _configured(path)]
    else:
        raise DatasetError(f"There is no {path}: name a folder of pictures, or a dataset_config TOML.")
    if not described:
        raise DatasetError(f"{path} holds no pictures, nor do the folders in it: name the folder that does.")
    try:
        return Dataset(
            path=path.resolve(),
            folders=tuple(
                _read_folder(folder, prefix, options)
                for (folder, options), prefix in zip(
                    described, _prefixes(path, [each for each, _ in described]), strict=True
                )
            ),
            rules=read_own_rules(path if path.is_dir() else path.parent),
        )
    except (OSError, ValueError) as error:
        raise DatasetError(str(error)) from error


def _has_pictures(folder: Path) -> bool:
    return folder.is_dir() and not folder.name.startswith(".") and bool(image_files(folder))


def _prefixes(path: Path, folders: Sequence[Path]) -> list[str]:
    """How each folder's files are called, so that no two folders of a dataset share a name."""
    whole = [folder.absolute() for folder in folders]  # not resolved: a link keeps the name that it has here
    root = path.absolute() if path.is_dir() else Path(os.path.commonpath([folder.parent for folder in whole]))
    return ["" if folder == root else f"{folder.relative_to(root).as_posix()}/" for folder in whole]


def _configured(path: Path) -> list[tuple[Path, dict[str, object]]]:
    try:
        config = read_dataset_config(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} cannot be read as a dataset_config: {error}.") from error
    if config is None:
        raise DatasetError(f"{path} is no dataset_config: it has no [[datasets]] with [[datasets.subsets]].")
    found = []
    for subset in config.trained:
        named = subset.options.get("image_dir")
        if not isinstance(named, str):
            raise DatasetError(f"{path}: a subset has no image_dir; captions in a metadata_file are not looked at.")
        places = [Path(named), path.parent / named]
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None:
            raise DatasetError(f"{path}: there is no folder {named}, seen from here or from the file.")
        found.append((folder, subset.options))
    return found


def _read_folder(folder: Path, prefix: str, parameters: Mapping[str, Any]) -> CaptionedFolder:
    options = caption_options(parameters)
    pictures = image_files(folder)
    names = {path.name for path in folder.iterdir()}
    extension = options.caption_extension or max(
        _USUAL_EXTENSIONS, key=lambda each: sum(picture.with_suffix(each).name in names for picture in pictures)
    )
    expected = {picture.with_suffix(extension).name: picture for picture in pictures}
    present = sorted(name for name in names if name in expected or Path(name).suffix == extension)
    others = {
        prefix + name: folder / other
        for name in expected.keys() - names
        for other in (str(Path(name).with_suffix(each)) for each in _USUAL_EXTENSIONS)
        if other in names
    }
    return CaptionedFolder(
        path=folder,
        options=options,
        pictures={prefix + name: picture for name, picture in expected.items()},
        captions={prefix + name: _read_file(prefix + name, folder / name) for name in present},
        other_captions=others,
    )


def _read_file(name: str, path: Path) -> CaptionFile:
    size = path.stat().st_size
    if size > _LARGEST_CAPTION:
        raise ValueError(f"{path} has {size:,} bytes: that is no caption. Move it out of the folder.")
    return CaptionFile(name, path, path.read_bytes())
