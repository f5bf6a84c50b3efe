"""Which training run a checkpoint belongs to, and which of its checkpoints it is."""

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from pixel_lora_pipeline.train.errors import printable

MAX_NAME = 80
MAX_SLUG = 48

# Kohya calls the files so when no output_name is given: the name says nothing then, the folder does.
_KOHYA_DEFAULT_NAMES = {"epoch", "at", "last"}
_DIFFUSERS_FILE = "pytorch_lora_weights"

_KOHYA_EPOCH = re.compile(r"(?P<base>.+)-(?P<epoch>\d{6})")
_KOHYA_STEP = re.compile(r"(?P<base>.+)-step(?P<step>\d{8})")
_AI_TOOLKIT_STEP = re.compile(r"(?P<base>.+)_(?P<step>\d{9})")
_ONETRAINER = re.compile(
    r"(?P<base>.*?)\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-save-(?P<step>\d+)-(?P<epoch>\d+)-(?P<epoch_step>\d+)"
)
_DIFFUSERS_FOLDER = re.compile(r"checkpoint-(?P<step>\d+)")


@dataclass(frozen=True)
class FileName:
    """What a checkpoint's path says without its header.

    Attributes
    ----------
    base
        The name that all checkpoints of the run share.
    folder
        The folder that all checkpoints of the run share.
    epoch, step
        As far as the name has them.
    is_step
        True for a file saved in the middle of an epoch, which its step names rather than its epoch.
    """

    base: str
    folder: Path
    epoch: int | None = None
    step: int | None = None
    is_step: bool = False

    @property
    def is_numbered(self) -> bool:
        """False for a name without epoch or step: the last file of a run, or a renamed one."""
        return self.epoch is not None or self.step is not None


def read_file_name(path: Path) -> FileName:
    """The parts of a checkpoint's name, as Kohya, ai-toolkit, OneTrainer and diffusers form it."""
    stem, folder = path.stem, path.parent.resolve()
    if match := _KOHYA_STEP.fullmatch(stem) or _AI_TOOLKIT_STEP.fullmatch(stem):
        return FileName(_base(match["base"], folder), folder, step=int(match["step"]), is_step=True)
    if match := _KOHYA_EPOCH.fullmatch(stem):
        return FileName(_base(match["base"], folder), folder, epoch=int(match["epoch"]))
    if match := _ONETRAINER.fullmatch(stem):
        within_epoch = int(match["epoch_step"]) > 0
        base = match["base"].rstrip("-_ ") or folder.name
        return FileName(base, folder, int(match["epoch"]), int(match["step"]), is_step=within_epoch)
    if stem == _DIFFUSERS_FILE and (match := _DIFFUSERS_FOLDER.fullmatch(folder.name)):
        return FileName(folder.parent.name, folder.parent, step=int(match["step"]), is_step=True)
    return FileName(folder.name if stem == _DIFFUSERS_FILE else _base(stem, folder), folder)


def _base(base: str, folder: Path) -> str:
    return folder.name if base in _KOHYA_DEFAULT_NAMES else base


@dataclass(frozen=True)
class RunIdentity:
    """A training run: one start of a trainer, all of whose checkpoints share this identity.

    Made by `identify_run`. The texts come from files that nobody vouches for: they are cleaned and short,
    but must be escaped like any text when they are shown.

    Attributes
    ----------
    name
        What people call the run: its output name. Two runs may share it; `key` tells them apart.
    session_id
        Kohya's random number of the training process; None where the header has none.
    started_at
        Unix seconds; None where the header does not say.
    output_name
        As the header records it.
    key
        16 hexadecimal digits that stand for the identity, the same for every checkpoint of the run.
    """

    name: str
    session_id: str | None
    started_at: float | None
    output_name: str | None
    key: str

    @property
    def slug(self) -> str:
        """Name and key in letters, digits, "-" and "_": a partition key, or a part of a path."""
        return f"{slugify(self.name)}-{self.key[:8]}"


def identify_run(
    file_name: FileName, session_id: str | None, started_at: float | None, output_name: str | None
) -> RunIdentity:
    """The run of a checkpoint: by session, start and output name, else by folder and file name.

    A training that is resumed is another run: it has another session and start. Without a session (a header
    without metadata, or another trainer's), training again under the same name into the same folder is taken
    for the same run.
    """
    # Dagster refuses three dots in the key of a partition.
    name = printable(output_name or file_name.base, MAX_NAME).replace("...", "…").strip() or "run"
    if session_id is not None:
        identity = ("session", session_id, repr(started_at), output_name or "")
    else:
        identity = ("folder", str(file_name.folder), output_name or file_name.base, "")
    key = hashlib.sha256("\0".join(identity).encode("utf-8", "replace")).hexdigest()[:16]
    return RunIdentity(name, session_id, started_at, output_name, key)


def partition_key(run: RunIdentity, file_name: FileName, epoch: int | None, step: int | None) -> str:
    """The checkpoint's key, unique in its run, zero-padded so that keys of a run sort as they were trained.

    `portrait-3f9a1c2b-000005` for an epoch, `portrait-3f9a1c2b-step00000120` for a file saved in between,
    `portrait-3f9a1c2b-final` for a last file of which neither header nor name tell the number.
    """
    if step is not None and (file_name.is_step or not epoch):  # epoch 0: none is completed yet
        return f"{run.slug}-step{step:08d}"
    if epoch is not None:
        return f"{run.slug}-{epoch:06d}"
    return f"{run.slug}-final"


def slugify(text: str) -> str:
    """At most `MAX_SLUG` ASCII letters, digits, "-" and "_"; "run" if nothing is left."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9_]+", "-", plain)[:MAX_SLUG].strip("-") or "run"
