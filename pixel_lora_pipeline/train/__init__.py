"""What makes a checkpoint, and what it says of itself."""

from pixel_lora_pipeline.train.checkpoint import Checkpoint, read_checkpoint
from pixel_lora_pipeline.train.errors import CheckpointError
from pixel_lora_pipeline.train.landing import Landing, Landings, Refusal, find_landings, watched_root
from pixel_lora_pipeline.train.parameter_table import Parameter, parameter_table
from pixel_lora_pipeline.train.parameters import ParameterValue
from pixel_lora_pipeline.train.run_identity import RunIdentity
from pixel_lora_pipeline.train.watch import FileSighting, find_checkpoints, training_order
from pixel_lora_pipeline.train.weights import verify_weights

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "FileSighting",
    "Landing",
    "Landings",
    "Parameter",
    "ParameterValue",
    "Refusal",
    "RunIdentity",
    "find_checkpoints",
    "find_landings",
    "parameter_table",
    "read_checkpoint",
    "training_order",
    "verify_weights",
    "watched_root",
]
