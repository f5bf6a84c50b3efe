"""What starts a training, watches it and stops it: one interface, whatever machine the training is on."""

from pixel_lora_pipeline.train.trainers.local_process import LocalProcess, control_folder
from pixel_lora_pipeline.train.trainers.trainer import ReportingTrainer, Trainer, TrainerError, TrainingState

__all__ = ["LocalProcess", "ReportingTrainer", "Trainer", "TrainerError", "TrainingState", "control_folder"]
