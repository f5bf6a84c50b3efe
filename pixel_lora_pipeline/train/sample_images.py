"""The images that Kohya's trainers paint of their sample prompts while they train.

They lie in `sample/` beside the checkpoints as `NAME_e000005_00_20251110150301_42.png`: epoch 5, the first prompt, when
it was painted, and the seed where the prompt has one. Without the `e` the number is a step; older trainers wrote the
time first. The prompts stand in a text file, a line a prompt, or in TOML or JSON; nothing in a checkpoint's header says
where.

References
----------
`sample_images_common` and `load_prompts` in https://github.com/kohya-ss/sd-scripts/blob/main/library/train_util.py
"""

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pixel_lora_pipeline.train.bounded_json import clean_text, parse_json, storable
from pixel_lora_pipeline.train.watch import is_skipped

_POSITION: Final = r"(?P<at>e?\d{6,})_(?P<prompt>\d{2,})"
_NAMES: Final = (
    re.compile(rf"(?:(?P<name>.+)_)?{_POSITION}_(?P<time>\d{{14}})(?:_(?P<seed>\d+))?\.png", re.DOTALL),
    re.compile(rf"(?:(?P<name>.+)_)?(?P<time>\d{{14}})_{_POSITION}(?:_(?P<seed>\d+))?\.png", re.DOTALL),
)
_FOLDER: Final = "sample"
# kohya_ss writes what its sample tab held to the first; the others are what people call the file they write.
_PROMPT_FILES: Final = ("prompt", "prompts", "sample_prompts", "sample_prompt", "sample")
_ENDINGS: Final = (".txt", ".toml", ".json")
_MAX_BYTES: Final = 1_000_000
_OPTION: Final = re.compile(r"(?P<name>[a-z]+)(?:\s+(?P<value>.*))?", re.DOTALL)
_WHOLE: Final = {"w": "width", "h": "height", "d": "seed", "s": "sample_steps"}


class SamplePromptsError(ValueError):
    """A file of sample prompts that cannot be used: which, and why."""


@dataclass(frozen=True)
class SamplePrompt:
    """A prompt of which the trainer paints an image now and then; None for what the file does not say."""

    prompt: str
    negative_prompt: str = ""
    seed: int | None = None
    sample_steps: int | None = None
    scale: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True)
class SampleImage:
    """One file.

    Attributes
    ----------
    run_name
        The output name of the run; None if the trainer was given none.
    epoch, step
        When it was painted: one of them is None.
    position
        Of its prompt in the file of prompts, from 0.
    painted_at
        YYYYMMDDhhmmss by the trainer's clock.
    """

    path: Path
    run_name: str | None
    epoch: int | None
    step: int | None
    position: int
    painted_at: str
    seed: int | None


def find_sample_images(folders: Iterable[Path]) -> list[SampleImage]:
    """All files below these folders that are named as sample images, in order of their paths."""
    found = {}
    for root in folders:
        for folder, names, files in os.walk(root):
            names[:] = sorted(name for name in names if not is_skipped(name))
            for name in sorted(files):
                image = _read_name(Path(folder) / name)
                if image is not None:
                    found[image.path] = image
    return list(found.values())


def folder_of_run(image: SampleImage) -> Path:
    """Where the checkpoints of the run that painted an image lie."""
    return image.path.parent.parent if image.path.parent.name == _FOLDER else image.path.parent


def find_prompts(image: SampleImage, configured: str | None) -> Path | None:
    """The file of prompts that an image was painted of; None if there is none.

    Parameters
    ----------
    configured
        `sample_prompts` as the run's configuration has it: as it stands, or a file of that name that was moved along.
    """
    folders = [image.path.parent, folder_of_run(image)]
    candidates = []
    if configured:
        name = configured.replace("\\", "/").rsplit("/", 1)[-1]
        candidates += [Path(configured), *(folder / name for folder in folders)]
    candidates += [folder / (stem + ending) for folder in folders for stem in _PROMPT_FILES for ending in _ENDINGS]
    return next((path for path in candidates if path.suffix.lower() in _ENDINGS and path.is_file()), None)


def read_prompts(path: Path) -> list[SamplePrompt]:
    """The prompts of a file, in the order by which the images are numbered.

    Raises
    ------
    SamplePromptsError
        If the file cannot be read, or is not what the trainer reads.
    """
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SamplePromptsError(f"{path} has more than {_MAX_BYTES} bytes, too many for sample prompts.")
        text = path.read_text(encoding="utf-8-sig")
        match path.suffix.lower():
            case ".toml":
                raw = _of_toml(tomllib.loads(text))
            case ".json":
                raw = parse_json(text)
            case _:
                raw = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    except SamplePromptsError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise SamplePromptsError(f"{path} cannot be read as sample prompts: {error}") from error
    if not isinstance(raw, list):
        raise SamplePromptsError(f"{path} holds no list of sample prompts.")
    try:
        return [_prompt(entry) for entry in raw]
    except (TypeError, ValueError) as error:
        raise SamplePromptsError(f"{path}: {error}") from error


def _read_name(path: Path) -> SampleImage | None:
    named = next((found for pattern in _NAMES if (found := pattern.fullmatch(path.name))), None)
    if named is None:
        return None
    at = named["at"]
    number = int(at.removeprefix("e"))
    return SampleImage(
        path=path,
        run_name=named["name"],
        epoch=number if at.startswith("e") else None,
        step=None if at.startswith("e") else number,
        position=int(named["prompt"]),
        painted_at=named["time"],
        seed=None if named["seed"] is None else int(named["seed"]),
    )


def _of_toml(document: Mapping[str, Any]) -> Any:
    """A list of prompts, each with what the table above it says for all."""
    shared = document.get("prompt")
    if not isinstance(shared, dict) or not isinstance(shared.get("subset"), list):
        raise ValueError("it has no [[prompt.subset]]")
    return storable([{**shared, **subset} for subset in shared["subset"] if isinstance(subset, dict)])


def _prompt(entry: Any) -> SamplePrompt:
    said = _of_line(entry) if isinstance(entry, str) else entry
    if not isinstance(said, dict) or not isinstance(said.get("prompt"), str):
        raise ValueError(f"{str(entry)[:60]!r} is no prompt")
    negative = said.get("negative_prompt")
    return SamplePrompt(
        prompt=clean_text(said["prompt"].strip()),
        negative_prompt=clean_text(negative.strip()) if isinstance(negative, str) else "",
        seed=None if said.get("seed") is None else int(said["seed"]),
        sample_steps=None if said.get("sample_steps") is None else int(said["sample_steps"]),
        scale=None if said.get("scale") is None else float(said["scale"]),
    )


def _of_line(line: str) -> dict[str, Any]:
    """`a portrait --n blurry --w 512 --h 512 --d 42 --l 7.5 --s 28`; the trainer passes over what it cannot read."""
    text, *options = line.split(" --")
    said: dict[str, Any] = {"prompt": text}
    for option in options:
        parts = _OPTION.fullmatch(option.strip())
        if parts is None or parts["value"] is None:
            continue
        name, value = parts["name"], parts["value"].strip()
        if name in _WHOLE and value.isascii() and value.isdigit():
            said[_WHOLE[name]] = int(value)
        elif name == "l" and re.fullmatch(r"[\d.]*\d", value):
            said["scale"] = float(value)
        elif name == "n":
            said["negative_prompt"] = value
    return said
