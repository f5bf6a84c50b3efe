"""Checkpoints in production as files: verified copies with a model card each."""

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixel_lora_pipeline.train.run_identity import slugify
from pixel_lora_pipeline.whole_file import write_whole

MODEL_CARD: Final = "README.md"
"""As hubs call it, which show it beside the file."""

_PIECE: Final = 1 << 22
_LONGEST_HASH: Final = 12


class ReleaseError(OSError):
    """A checkpoint could not be copied: says which file, what is wrong and what to do."""


@dataclass(frozen=True)
class Release:
    """A folder with the copy of one checkpoint."""

    folder: Path
    checkpoint_file: str


class ReleaseFolder:
    """A folder of releases, `RUN-epoch-6-0123456789ab/`: the hash keeps apart what was trained again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def copy(self, checkpoint: Path, sha256: str, run_name: str, epoch: int | None) -> Release:
        """Copy a checkpoint, unless the same is there, and make sure that the copy is what was evaluated.

        The copy gets its name only when its content is on the disk and verified.

        Raises
        ------
        ReleaseError
            If the file is missing, or is not the one that has this SHA-256.
        """
        name = slugify(run_name) + ("" if epoch is None else f"-epoch-{epoch}")
        folder = self._folder / f"{name}-{sha256[:_LONGEST_HASH]}"
        target = folder / f"{name}.safetensors"
        if not (target.is_file() and _sha256(target) == sha256):
            folder.mkdir(parents=True, exist_ok=True)
            _copy_verified(checkpoint, target, sha256)
        return Release(folder, target.name)

    def write_card(self, release: Release, card: str) -> None:
        """Write the model card beside a copy."""
        write_whole(release.folder / MODEL_CARD, card.encode())


def _copy_verified(source: Path, target: Path, sha256: str) -> None:
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with source.open("rb") as original, temporary.open("xb") as copy:
            while piece := original.read(_PIECE):
                copy.write(piece)
            copy.flush()
            os.fsync(copy.fileno())
        # What was written, not what was read: a copy that went wrong on its way is found here.
        if _sha256(temporary) != sha256:
            raise ReleaseError(
                f"{source} is not the file that was evaluated: its content changed since, or the copy went wrong. "
                "Let the pipeline evaluate the file as it is now, then promote it again; nothing was promoted."
            )
        temporary.replace(target)
    except FileNotFoundError as fault:
        raise ReleaseError(
            f"checkpoint {source} is missing. Put it back there, or into a watched folder, then promote it again; "
            "nothing was promoted."
        ) from fault
    finally:
        temporary.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
