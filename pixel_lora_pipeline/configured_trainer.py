"""What trains the experiments of a campaign, as configured."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.embedded.trainer import EmbeddedTrainer
from pixel_lora_pipeline.train.runpod import RunPod, RunPodError
from pixel_lora_pipeline.train.trainers import Trainer, TrainerError
from pixel_lora_pipeline.train.trainers.kohya import KohyaCheckout, KohyaTrainer, read_configuration
from pixel_lora_pipeline.train.trainers.runpod import PodPlan, RunPodTrainer, pod_configuration
from pixel_lora_pipeline.validate.suite import base_kind


def configured_trainer(settings: Settings) -> Trainer:
    """The trainer that the settings name.

    Raises
    ------
    TrainerError
        If something is not set that it needs.
    """
    match settings.trainer:
        case "embedded":
            return EmbeddedTrainer()
        case "kohya":
            return KohyaTrainer(kohya_checkout(settings), is_sdxl)
        case "runpod":
            return runpod_trainer(settings)


def check_base(settings: Settings, base: Mapping[str, Any]) -> None:
    """See that trainings with what a campaign's share can be started: before the first one is.

    Raises
    ------
    TrainerError
        If they cannot.
    """
    base_model = str(base.get("pretrained_model_name_or_path", ""))
    if settings.trainer == "runpod":
        runpod_trainer(settings)
        pod_configuration({**base, "output_name": "check"})
        return
    if settings.trainer == "kohya":
        kohya_checkout(settings).command(is_sdxl=is_sdxl(base_model))
    somewhere = settings.trainings / "check"
    read_configuration({**base, "output_name": "check"}, somewhere, somewhere, is_sdxl=is_sdxl(base_model))


def runpod_trainer(settings: Settings) -> RunPodTrainer:
    """The trainer that rents pods as the table `[runpod]` says."""
    asked = settings.runpod
    if settings.runpod_api_key is None or asked.template_id is None or asked.checkpoints_url is None:
        needed = {
            "RUNPOD_API_KEY": settings.runpod_api_key,
            "[runpod] template_id": asked.template_id,
            "[runpod] checkpoints_url": asked.checkpoints_url,
        }
        missing = ", ".join(name for name, value in needed.items() if value is None)
        raise TrainerError(f"trainer = 'runpod' needs {missing}: docs/runpod.md says how to set it up.")
    try:
        account = RunPod(settings.runpod_api_key, settings.runpod_url)
    except RunPodError as error:
        raise TrainerError(str(error)) from error
    deadline = timedelta(hours=asked.most_hours)
    return RunPodTrainer(
        account, PodPlan(asked.template_id, asked.gpu_types, asked.cloud, asked.checkpoints_url, deadline)
    )


def kohya_checkout(settings: Settings) -> KohyaCheckout:
    """The checkout of sd-scripts that the table `[kohya]` describes."""
    kohya = settings.kohya
    return KohyaCheckout(kohya.folder, kohya.python, kohya.accelerate_arguments, kohya.script)


def is_sdxl(base_model: str) -> bool:
    """Whether a base model is of that kind, which Kohya trains with a script of its own."""
    return base_kind(base_model) == "sdxl"
