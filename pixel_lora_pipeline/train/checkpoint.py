"""One saved file of a training run: what it is, which run it belongs to and how it was trained."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

from pixel_lora_pipeline.train.bounded_json import JSONValue, TooDeepError
from pixel_lora_pipeline.train.dataset_options import is_data_option
from pixel_lora_pipeline.train.errors import CheckpointError, printable
from pixel_lora_pipeline.train.header_record import HeaderRecord, read_header_record
from pixel_lora_pipeline.train.other_trainers import Trainer, detect_trainer, stated_alphas
from pixel_lora_pipeline.train.parameter_value import ParameterValue, Source, of_run
from pixel_lora_pipeline.train.parameters import gather_parameters
from pixel_lora_pipeline.train.run_identity import (
    MAX_NAME,
    FileName,
    RunIdentity,
    identify_run,
    partition_key,
    read_file_name,
)
from pixel_lora_pipeline.train.safetensors_file import SafetensorsFile, open_safetensors
from pixel_lora_pipeline.train.sidecars import Sidecars, find_sidecars
from pixel_lora_pipeline.train.tensors import (
    AdapterSummary,
    architecture_of,
    check_base_model,
    summarize_adapter,
)

_MAX_COUNT = 10**9
# Beginnings of base_model_version, for files whose layers do not show the base model's width.
_CLAIMED_ARCHITECTURES: Final = {"sdxl": "sdxl", "sd_v2": "sd2", "sd_v1": "sd15", "sd_1.5": "sd15"}


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint file as its header, its tensors' shapes and the files beside it describe it.

    Attributes
    ----------
    path
        Where it was read.
    size
        In bytes.
    run
        The training run that saved it.
    epoch
        The epoch it was saved after; for a file saved in between, the number of completed epochs.
    step
        Optimizer steps done.
    planned_epochs
        Epochs that the run was meant to have.
    is_final
        True for the file that a run saves at its end: the run is complete once it is there.
    trainer
        The program that wrote it.
    adapter
        Kind, ranks, alphas and trained parts, measured on the tensors.
    base_architecture
        "sd15", "sd2", "sdxl", "width-N" for another cross-attention width (the embedded model), or "unknown".
    parameters
        Training parameters by Kohya's names, each with its source; see `gather_parameters`.
    missing
        The names of the table that are not among them → why.
    config_paths
        The run's configuration files that were used.
    notes
        Sentences about files beside the checkpoint that were not used.
    signature
        Fingerprint of the content, cheap and independent of name and times; 64 hexadecimal digits.
    partition_key
        Unique among all checkpoints of all runs, in letters, digits, "-" and "_".
    """

    path: Path
    size: int
    run: RunIdentity
    epoch: int | None
    step: int | None
    planned_epochs: int | None
    is_final: bool
    trainer: Trainer
    adapter: AdapterSummary
    base_architecture: str
    parameters: dict[str, ParameterValue] = field(repr=False)
    missing: dict[str, str] = field(repr=False)
    config_paths: tuple[Path, ...]
    notes: tuple[str, ...]
    signature: str
    partition_key: str

    @cached_property
    def sha256(self) -> str:
        """Hash of the whole file (64 hexadecimal digits), read on first use and kept.

        Raises
        ------
        CheckpointError
            With `retry` if the file is not the one any more that this checkpoint was read from.
        """
        # Resolved, since whether a link may be followed was decided when the header was read.
        with open_safetensors(self.path.resolve()) as file:
            if file.signature() != self.signature:
                raise CheckpointError(
                    self.path,
                    "was replaced by other content",
                    "The new content is evaluated by itself.",
                    retry=True,
                )
            return file.sha256()

    def to_json(self) -> dict[str, JSONValue]:
        """The run's parameters by name, ready for a JSON column; what differs from file to file is left out.

        Whole numbers lose their ".0", so that SQL's `all_parameters->>'network_alpha' = '16'` finds them.
        """
        return {name: found.value for name, found in of_run(self.parameters).items()}

    def sources_json(self) -> dict[str, Source]:
        """The source of each value in `to_json`."""
        return {name: found.source for name, found in of_run(self.parameters).items()}


def read_checkpoint(path: Path, root: Path | None = None, required_width: int | None = None) -> Checkpoint:
    """Read what a checkpoint says of itself; its tensors stay on disk.

    Besides the header, a few bytes of each alpha, at most a megabyte for the signature and the configuration
    files in the same folder are read. Memory does not depend on the size of the file.

    Parameters
    ----------
    path
        A `.safetensors` file.
    root
        The watched folder, which symbolic links must not leave; the file's own folder by default.
    required_width
        Cross-attention width of the configured base model (768 for SD 1.x, 1024 for SD 2.x, 2048 for SDXL);
        a checkpoint for another one is refused.

    Raises
    ------
    CheckpointError
        If the file cannot be evaluated: it is cut short or still growing (with `retry`), over a limit, no
        safetensors, no LoRA that diffusers loads as it was meant, or for another base model.
    """
    with open_safetensors(path, root) as file:
        try:
            adapter = summarize_adapter(file, stated_alphas(file.metadata))
            trainer = detect_trainer(file.metadata, uses_diffusers_keys=adapter.keys == "diffusers")
            record = read_header_record(file.metadata, trainer)
        except TooDeepError as error:
            raise _unusable_metadata(path, error) from error
        signature = file.signature()
    if required_width is not None:
        check_base_model(path, adapter.cross_attention_width, required_width)

    file_name = read_file_name(path)
    run = _identify(record, file_name)
    sidecars = _sidecars(file, record, run, file_name)
    parameters, missing = gather_parameters(record, adapter, sidecars, file_name)
    epoch, step, planned = (_count(parameters, name) for name in ("epoch", "steps", "max_train_epochs"))
    is_last = epoch is None or planned is None or epoch >= planned
    return Checkpoint(
        path=path,
        size=file.size,
        run=run,
        epoch=epoch,
        step=step,
        planned_epochs=planned,
        is_final=not file_name.is_numbered and is_last,
        trainer=trainer,
        adapter=adapter,
        base_architecture=_base_architecture(adapter, record),
        parameters=parameters,
        missing=missing,
        config_paths=sidecars.paths,
        notes=sidecars.notes,
        signature=signature,
        partition_key=partition_key(run, file_name, epoch, step),
    )


@dataclass(frozen=True)
class TrainingRecord:
    """What is known of a training from a file of it, whether or not the file can be evaluated.

    `parameters` and `missing` are as of a `Checkpoint`, `config_paths` the run's configuration files.
    """

    run: RunIdentity
    parameters: dict[str, ParameterValue]
    missing: dict[str, str]
    config_paths: tuple[Path, ...]


def read_training_record(path: Path, root: Path | None = None) -> TrainingRecord:
    """Read how a file was trained that `read_checkpoint` refuses, such as a LoKr: its header, but no tensor.

    Raises
    ------
    CheckpointError
        If the header cannot be read either.
    """
    with open_safetensors(path, root) as file:
        try:
            record = read_header_record(file.metadata, detect_trainer(file.metadata, uses_diffusers_keys=False))
        except TooDeepError as error:
            raise _unusable_metadata(path, error) from error
    file_name = read_file_name(path)
    run = _identify(record, file_name)
    sidecars = _sidecars(file, record, run, file_name)
    parameters, missing = gather_parameters(record, None, sidecars, file_name)
    return TrainingRecord(run, parameters, missing, sidecars.paths)


def _unusable_metadata(path: Path, error: TooDeepError) -> CheckpointError:
    return CheckpointError(
        path, f"has metadata that cannot be used ({error})", "Remove them, or save the training again."
    )


def _identify(record: HeaderRecord, file_name: FileName) -> RunIdentity:
    started_at = record.values.get("training_started_at")
    session_id = record.values.get("session_id")
    output_name = record.values.get("output_name")
    return identify_run(
        file_name,
        session_id=str(session_id) if session_id is not None else None,
        started_at=started_at if isinstance(started_at, float) else None,
        output_name=printable(output_name, MAX_NAME) if isinstance(output_name, str) else None,
    )


def _sidecars(file: SafetensorsFile, record: HeaderRecord, run: RunIdentity, file_name: FileName) -> Sidecars:
    # With a dataset_config, the configuration's own options of the training data were overruled.
    comparable = {
        name: value for name, value in record.values.items() if not (record.has_dataset_config and is_data_option(name))
    }
    return find_sidecars(
        file.path,
        output_name=run.output_name or file_name.base,
        started_at=run.started_at if run.started_at is not None else file.mtime_ns / 1e9,
        recorded=comparable,
        used_data=record.training_data,
        wants_dataset_config=record.has_dataset_config or not record.has_run_metadata,
    )


def _base_architecture(adapter: AdapterSummary, record: HeaderRecord) -> str:
    if adapter.cross_attention_width is not None:
        return architecture_of(adapter.cross_attention_width)
    claim = str(record.values.get("base_model_version"))
    return next((name for start, name in _CLAIMED_ARCHITECTURES.items() if claim.startswith(start)), "unknown")


def _count(parameters: dict[str, ParameterValue], name: str) -> int | None:
    value = parameters[name].value if name in parameters else None
    return value if isinstance(value, int) and 0 <= value < _MAX_COUNT else None
