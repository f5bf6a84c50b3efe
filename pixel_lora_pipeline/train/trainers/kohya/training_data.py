"""The pictures of a training as a dataset file of Kohya's: from folders, or from another dataset file."""

import json
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from pixel_lora_pipeline.train.dataset_options import read_dataset_config

# Kohya's `N_words`: each picture is shown N times an epoch, and the words are its caption where it has none.
_REPEATED_FOLDER: Final = re.compile(r"(?P<repeats>\d+)(?:_(?P<words>.*))?")


class TrainingDataError(ValueError):
    """Pictures that cannot be found, or a dataset file that is none: says which, and what to do."""


def read_folders(train_data_dir: Path, reg_data_dir: Path | None = None) -> dict[str, Any]:
    """The dataset that Kohya makes of folders named `N_words`; other folders it passes over.

    Raises
    ------
    TrainingDataError
        If there is none of that name.
    """
    subsets = _subsets("train_data_dir", train_data_dir)
    if reg_data_dir is not None:
        subsets += [{**subset, "is_reg": True} for subset in _subsets("reg_data_dir", reg_data_dir)]
    return {"datasets": [{"subsets": subsets}]}


def read_file(path: Path) -> dict[str, Any]:
    """A dataset file with the whole paths of its folders, which may be relative to the current one or to the file.

    Raises
    ------
    TrainingDataError
        If it cannot be read, is no dataset file, or a folder is missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise TrainingDataError(f"dataset_config = {str(path)!r}: it cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise TrainingDataError(f"dataset_config = {str(path)!r}: {error}") from error
    if not isinstance(content, dict) or read_dataset_config(content) is None:
        raise TrainingDataError(
            f"dataset_config = {str(path)!r}: it names no folder of pictures in [[datasets.subsets]]"
        )
    datasets = [
        {**dataset, "subsets": [_placed(subset, path) for subset in dataset.get("subsets", [])]}
        for dataset in content["datasets"]
    ]
    return {**content, "datasets": datasets}


def with_options(document: Mapping[str, Any], options: Mapping[str, Any], elsewhere: Collection[str]) -> dict[str, Any]:
    """A dataset in which options hold for all pictures, whatever it said of them.

    Parameters
    ----------
    elsewhere
        Options that are set as arguments: what the dataset says of them would win over those, and is left out.
    """
    replaced = {*options, *elsewhere}

    def rest(level: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in level.items() if name not in replaced}

    return {
        "general": {**rest(document.get("general", {})), **options},
        "datasets": [
            {**rest(dataset), "subsets": [rest(subset) for subset in dataset["subsets"]]}
            for dataset in document["datasets"]
        ],
    }


def _subsets(option: str, folder: Path) -> list[dict[str, Any]]:
    if not folder.is_dir():
        raise TrainingDataError(f"{option} = {str(folder)!r}: there is no such folder")
    subsets = []
    for path in sorted(folder.iterdir()):
        named = _REPEATED_FOLDER.fullmatch(path.name)
        if path.is_dir() and named is not None and int(named["repeats"]):
            repeats, words = int(named["repeats"]), named["words"] or ""
            subsets.append({"image_dir": str(path.absolute()), "num_repeats": repeats, "class_tokens": words})
    if not subsets:
        raise TrainingDataError(
            f"{option} = {str(folder)!r}: none of its folders is named as Kohya's are, 10_sprites for pictures "
            "that are shown ten times an epoch"
        )
    return subsets


def _placed(subset: Mapping[str, Any], file: Path) -> dict[str, Any]:
    if "image_dir" not in subset:
        raise TrainingDataError(f"dataset_config = {str(file)!r}: a subset has no image_dir; only folders can be read")
    named = Path(subset["image_dir"]).expanduser()
    found = next((path for path in (named, file.parent / named) if path.is_dir()), None)
    if found is None:
        raise TrainingDataError(f"dataset_config = {str(file)!r}: image_dir = {subset['image_dir']!r} is no folder")
    return {**subset, "image_dir": str(found.absolute())}
