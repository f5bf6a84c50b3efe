"""Configuration files that lie beside a checkpoint: what was asked for, where the header does not say it.

Kohya writes none of about fifty options into its files. Whoever starts a training from a TOML file often has
it in the output folder, and the kohya_ss interface writes one there by itself, with a JSON file of its own.
"""

import json
import os
import stat
import tomllib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from pixel_lora_pipeline.train.bounded_json import JSONValue
from pixel_lora_pipeline.train.dataset_options import TrainingData, read_dataset_config, restricted_to
from pixel_lora_pipeline.train.errors import printable
from pixel_lora_pipeline.train.parameter_table import parameter_table, typed_value

MAX_BYTES = 1024**2
MAX_FILES = 50  # configurations looked at in one folder
# A configuration is written, the training starts, and only then does its clock begin.
START_MARGIN_SECONDS = 60.0
# Computed while training where they are not given, so that a difference from the header means nothing.
_NOT_COMPARED = ("max_train_epochs", "max_train_steps", "lr_warmup_steps")
# Fewer known names than this, and a file is something else that happens to have one of them.
MIN_KNOWN_NAMES = 3

# The kohya_ss interface calls some options otherwise.
_GUI_NAMES = {
    "optimizer": "optimizer_type",
    "epoch": "max_train_epochs",
    "max_resolution": "resolution",
    "lora_network_weights": "network_weights",
    "sdxl_no_half_vae": "no_half_vae",
    "sdxl_cache_text_encoder_outputs": "cache_text_encoder_outputs",
}
_GUI_MARK = "LoRA_type"
# … has a number box for options that can be off, and writes 0 for that …
_GUI_ZERO_IS_OFF = frozenset(
    {
        "noise_offset",
        "adaptive_noise_scale",
        "min_snr_gamma",
        "scale_weight_norms",
        "multires_noise_iterations",
        "ip_noise_gamma",
        "v_pred_like_loss",
        "save_every_n_epochs",
        "save_every_n_steps",
        "sample_every_n_epochs",
        "network_dropout",
        "vae_batch_size",
        "max_train_epochs",
        "max_train_steps",
    }
)
# … and keeps the boxes of adapters that were not chosen.
_GUI_IGNORED_SECTIONS = ("network_args", "network_args(lycoris)")


@dataclass(frozen=True)
class Sidecar:
    """A configuration file that belongs to a run: its path, and its values by the table's names."""

    path: Path
    values: dict[str, object]


@dataclass(frozen=True)
class Sidecars:
    """What lies beside a checkpoint and belongs to its run.

    `values` are those of all its configuration files, typed; `notes` say in a sentence each what was looked
    at and not used.
    """

    configs: tuple[Sidecar, ...]
    values: dict[str, JSONValue]
    dataset_config: Path | None
    training_data: TrainingData | None
    notes: tuple[str, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file that was used."""
        return tuple(sidecar.path for sidecar in self.configs) + ((self.dataset_config,) if self.dataset_config else ())


@dataclass(frozen=True)
class _Candidate:
    path: Path
    mtime: float
    content: dict[str, object]


def find_sidecars(
    checkpoint: Path,
    output_name: str,
    started_at: float,
    recorded: dict[str, JSONValue],
    used_data: TrainingData | None,
    wants_dataset_config: bool,
) -> Sidecars:
    """The configuration files of a checkpoint's run, among those in its folder.

    A file that names another output is another run's. Of the rest the newest that was there when the training
    started counts, also where it differs from the header (the command line wins over a configuration). Where
    no file's time fits, as after copying, one that contradicts nothing in the header is taken.

    Parameters
    ----------
    checkpoint
        The checkpoint file.
    output_name
        The run's output name.
    started_at
        When the training started, or when the checkpoint was saved if nothing tells; Unix seconds.
    recorded
        What the header says, to tell the run's configuration from others.
    used_data
        The training data that the header describes.
    wants_dataset_config
        False if the header shows that the training had none.
    """
    notes: list[str] = []
    candidates = list(_candidates(checkpoint.parent, output_name, notes))
    configs = [
        sidecar
        for read in (_toml_config, _gui_config)
        if (sidecar := _best(candidates, read, output_name, started_at, recorded)) is not None
    ]
    values = _merged(configs, notes)
    named = values.get("dataset_config")
    dataset_config, training_data = None, None
    if wants_dataset_config:
        dataset_config, training_data = _dataset_config(
            checkpoint.parent, named if isinstance(named, str) else None, candidates, used_data, notes
        )
    return Sidecars(tuple(configs), values, dataset_config, training_data, tuple(notes))


def read_configurations(folder: Path, used: Collection[Path] = ()) -> dict[str, Sidecars]:
    """The runs that configurations in a folder tell of, by output name; by the folder's where they name none.

    For runs whose checkpoints are gone. Of several configurations of a kind for one run the newest counts.

    Parameters
    ----------
    folder
        Its subfolders are not looked into.
    used
        Files to pass over: those that belong to checkpoints.
    """
    notes: list[str] = []
    candidates = list(_candidates(folder, "", notes))
    newest: dict[str, dict[Callable[[_Candidate], Sidecar | None], Sidecar]] = {}
    for candidate in sorted(candidates, key=lambda candidate: (candidate.mtime, candidate.path.name)):
        if candidate.path in used:
            continue
        for read in (_toml_config, _gui_config):
            if (sidecar := read(candidate)) is not None:
                name = printable(str(sidecar.values.get("output_name") or folder.name))
                newest.setdefault(name, {})[read] = sidecar
    runs: dict[str, Sidecars] = {}
    for name, by_kind in newest.items():
        configs = [by_kind[read] for read in (_toml_config, _gui_config) if read in by_kind]
        own_notes = list(notes)
        values = _merged(configs, own_notes)
        named = values.get("dataset_config")
        dataset_config, training_data = _dataset_config(
            folder, named if isinstance(named, str) else None, candidates, None, own_notes
        )
        runs[name] = Sidecars(tuple(configs), values, dataset_config, training_data, tuple(own_notes))
    return runs


def _merged(configs: list[Sidecar], notes: list[str]) -> dict[str, JSONValue]:
    values: dict[str, JSONValue] = {}
    for sidecar in reversed(configs):  # the TOML has the trainer's own names, the JSON those of an interface
        values |= _typed(sidecar, notes)
    return values


def _candidates(folder: Path, output_name: str, notes: list[str]) -> Iterator[_Candidate]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.lower().endswith((".toml", ".json"))]
    except OSError:
        return
    # Those that carry the run's name first, and of the interface's dated names the newest.
    names.sort(reverse=True)
    names.sort(key=lambda name: not name.startswith(output_name))
    for name in names[:MAX_FILES]:
        candidate = _read(folder / name, notes)
        if candidate is not None:
            yield candidate


def _read(path: Path, notes: list[str]) -> _Candidate | None:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
            return None
        with path.open("rb") as file:
            text = file.read(MAX_BYTES).decode("utf-8-sig")
        content = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError:
        return None
    except (ValueError, RecursionError) as error:  # TOML, JSON and encoding errors are all ValueErrors
        why = "it is nested too deeply" if isinstance(error, RecursionError) else printable(str(error))
        notes.append(f"{printable(path.name)} was not read: {why}")
        return None
    return _Candidate(path, status.st_mtime, content) if isinstance(content, dict) else None


def _toml_config(candidate: _Candidate) -> Sidecar | None:
    """A configuration of the trainer: sections count for nothing, later keys win."""
    if candidate.path.suffix.lower() != ".toml" or "datasets" in candidate.content:
        return None
    flat: dict[str, object] = {}
    for name, value in candidate.content.items():
        flat |= value if isinstance(value, dict) else {name: value}
    return _known(candidate.path, flat)


def _gui_config(candidate: _Candidate) -> Sidecar | None:
    """What the kohya_ss interface saved, by the trainer's names."""
    content = candidate.content
    if candidate.path.suffix.lower() != ".json" or _GUI_MARK not in content:
        return None
    table = parameter_table()
    values: dict[str, object] = {}
    for gui_name, value in content.items():
        name = _GUI_NAMES.get(gui_name, gui_name)
        if value == "" or name not in table or table[name].section in _GUI_IGNORED_SECTIONS:
            continue
        if name in _GUI_ZERO_IS_OFF and value in (0, "0", "0.0"):
            value = None
        if name not in values or gui_name == name:
            values[name] = value
    backend = content.get("xformers")
    if isinstance(backend, str):  # one box for both
        values["xformers"], values["sdpa"] = backend == "xformers", backend == "sdpa"
    return _known(candidate.path, values)


def _known(path: Path, values: dict[str, object]) -> Sidecar | None:
    table = parameter_table()
    known = {name: value for name, value in values.items() if name in table and table[name].section != "derived"}
    return Sidecar(path, known) if len(known) >= MIN_KNOWN_NAMES else None


def _best(
    candidates: list[_Candidate],
    read: Callable[[_Candidate], Sidecar | None],
    output_name: str,
    started_at: float,
    recorded: dict[str, JSONValue],
) -> Sidecar | None:
    ranked: list[tuple[tuple[bool, bool, int, float, str], Sidecar]] = []
    for candidate in candidates:
        sidecar = read(candidate)
        if sidecar is None:
            continue
        named = sidecar.values.get("output_name")
        if named is not None and str(named) != output_name:
            continue
        in_time = candidate.mtime <= started_at + START_MARGIN_SECONDS
        contradictions = _contradictions(sidecar, recorded)
        if not in_time and contradictions:
            continue
        if named is None and contradictions:
            continue
        order = (named is not None, in_time, -contradictions, candidate.mtime, candidate.path.name)
        ranked.append((order, sidecar))
    return max(ranked, key=lambda ranking: ranking[0])[1] if ranked else None


def _contradictions(sidecar: Sidecar, recorded: dict[str, JSONValue]) -> int:
    """How many numbers and switches of the file differ from the header's; paths and texts may well do."""
    count = 0
    for name, raw in sidecar.values.items():
        fact = None if name in _NOT_COMPARED else recorded.get(name)
        try:
            plan = typed_value(parameter_table()[name], raw)
        except ValueError:
            continue
        if isinstance(fact, bool | int | float) and isinstance(plan, bool | int | float):
            count += fact != plan
    return count


def _typed(sidecar: Sidecar, notes: list[str]) -> dict[str, JSONValue]:
    table = parameter_table()
    values: dict[str, JSONValue] = {}
    for name, raw in sidecar.values.items():
        try:
            values[name] = typed_value(table[name], raw)
        except ValueError as error:
            notes.append(f"{printable(sidecar.path.name)}: {name} was not used, its value is {error}")
    arguments = values.get("network_args")
    if isinstance(arguments, dict):
        for name, argument in arguments.items():
            if name in table and table[name].header_key == f"ss_network_args.{name}":
                values[name] = typed_value(table[name], argument)
    return values


def _dataset_config(
    folder: Path,
    named: str | None,
    candidates: list[_Candidate],
    used_data: TrainingData | None,
    notes: list[str],
) -> tuple[Path | None, TrainingData | None]:
    found = [candidate for place in _places(folder, named) if (candidate := _read(place, notes)) is not None]
    # Without the run's configuration, or one that names it, only agreement with the header tells which it is.
    for candidate in found if used_data is None else [*found, *candidates]:
        data = read_dataset_config(candidate.content)
        if data is None:
            continue
        used = restricted_to(data, used_data) if used_data is not None else data
        if used is not None:
            return candidate.path, used
        if candidate in found:
            notes.append(f"{printable(candidate.path.name)} was not used: it differs from what the header records")
    return None, None


def _places(folder: Path, named: str | None) -> Iterator[Path]:
    """Where a configuration's `dataset_config` may be: paths in it start where the training was started."""
    if named is None or not named.lower().endswith((".toml", ".json")):
        return
    beside = folder / named.replace("\\", "/").rpartition("/")[2]
    as_written = folder / named  # an absolute path stays what it is
    yield from dict.fromkeys((as_written, beside))
