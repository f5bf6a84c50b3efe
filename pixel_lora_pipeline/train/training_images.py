"""The pictures that a run was trained on, where they still lie on this machine."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

# What Kohya's trainers take for pictures (library/train_util.py, IMAGE_EXTENSIONS).
_SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})


def training_image_files(parameters: Mapping[str, Any]) -> list[Path]:
    """The files in the folders that a run's parameters name, in order; none if they are not there any more.

    Parameters
    ----------
    parameters
        Value by name. `train_data_dir` is looked into, and the folders of `dataset_config`; of regularisation images
        nothing is returned. Relative paths are left out: what they were relative to is not known.
    """
    files: dict[Path, None] = {}
    for folder in _folders(parameters):
        if folder.is_absolute() and folder.is_dir():
            files |= dict.fromkeys(image_files(folder))
    return list(files)


def image_files(folder: Path) -> list[Path]:
    """The pictures that lie in a folder, in order."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)


def _folders(parameters: Mapping[str, Any]) -> Iterator[Path]:
    images, config = parameters.get("train_data_dir"), parameters.get("dataset_config")
    if isinstance(images, str) and images and Path(images).is_dir():
        yield from sorted(path for path in Path(images).iterdir() if path.is_dir())
    if isinstance(config, str) and config and Path(config).is_file():
        try:
            document = tomllib.loads(Path(config).read_text(encoding="utf-8"))
        except (OSError, ValueError):  # it was changed since, or is one of Kohya's JSON files
            return
        for dataset in _tables(document.get("datasets")):
            for subset in _tables(dataset.get("subsets")):
                if not subset.get("is_reg") and isinstance(subset.get("image_dir"), str):
                    yield Path(subset["image_dir"])


def _tables(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
