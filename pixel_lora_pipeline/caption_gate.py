"""What a training that we start has to pass first: captions that would not spoil it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixel_lora_pipeline.caption_quality import assess_captions
from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.embedded.loading import WEIGHTS
from pixel_lora_pipeline.train.captions import DatasetError
from pixel_lora_pipeline.train.trainers import TrainerError
from pixel_lora_pipeline.validate.captions.encoders import text_encoders


def refuse_faulty_captions(settings: Settings, configuration: Mapping[str, Any]) -> None:
    """See that the captions of a training hold no fault that counts as an error.

    Captions that lie on a rented pod are not looked at. Tokens are counted as the base model counts them, where that
    is a folder: a single file does not say how it does.

    Raises
    ------
    TrainerError
        If they do, if there are none, or nothing says where they are.
    """
    pictures = configuration.get("dataset_config") or configuration.get("train_data_dir")
    if pictures is None:
        raise TrainerError("train_data_dir is not set: say where the pictures are.")
    if settings.trainer == "runpod" and not Path(pictures).exists():
        return
    models = (
        [WEIGHTS]
        if settings.trainer == "embedded"
        else [configuration.get("pretrained_model_name_or_path", ""), str(settings.base_model)]
    )
    try:
        encoders = next((found for model in models if (found := text_encoders(model))), {})
        errors = assess_captions(Path(pictures), configuration, encoders).errors
    except DatasetError as error:
        raise TrainerError(str(error)) from error
    if errors:
        raise TrainerError(
            f"{len(errors)} faults in the captions would spoil the training; the first: {errors[0].message} "
            f"See `pixel-lora captions check {pictures}`."
        )
