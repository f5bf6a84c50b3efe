"""What makes a checkpoint, and what it says of itself."""

from pixel_lora_pipeline.train.backfill import BackfillError, RunFiles, read_run_files
from pixel_lora_pipeline.train.checkpoint import Checkpoint, read_checkpoint
from pixel_lora_pipeline.train.errors import CheckpointError
from pixel_lora_pipeline.train.landing import Landing, Landings, Refusal, find_landings, watched_root
from pixel_lora_pipeline.train.parameter_table import Parameter, parameter_table
from pixel_lora_pipeline.train.parameter_value import ParameterValue
from pixel_lora_pipeline.train.run_identity import RunIdentity
from pixel_lora_pipeline.train.watch import FileSighting, find_checkpoints, training_order
from pixel_lora_pipeline.train.weights import verify_weights

__all__ = [
    "BackfillError",
    "Checkpoint",
    "CheckpointError",
    "FileSighting",
    "Landing",
    "Landings",
    "Parameter",
    "ParameterValue",
    "Refusal",
    "RunFiles",
    "RunIdentity",
    "find_checkpoints",
    "find_landings",
    "parameter_table",
    "read_checkpoint",
    "read_run_files",
    "training_order",
    "verify_weights",
    "watched_root",
]
