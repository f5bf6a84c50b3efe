"""Trains a LoRA as Kohya's trainer would, on the CPU."""

import logging
import math
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixel_lora_pipeline.embedded.kohya_file import epoch_file_name, final_file_name, save_checkpoint
from pixel_lora_pipeline.embedded.kohya_header import Plan, Session, checkpoint_header, run_header
from pixel_lora_pipeline.embedded.loading import WEIGHTS, load_pipeline
from pixel_lora_pipeline.embedded.lora_captions import vary_caption
from pixel_lora_pipeline.embedded.lora_config import ConfigError, LoraConfig, read_config
from pixel_lora_pipeline.embedded.lora_dataset import Latents, TrainingSet, batches, read_training_set
from pixel_lora_pipeline.embedded.lora_loss import Diffusion, draw_noise, loss_per_image
from pixel_lora_pipeline.embedded.lora_network import LoraNetwork
from pixel_lora_pipeline.embedded.lora_optimizer import (
    build_optimizer,
    build_schedule,
    clip_gradients,
    describe_optimizer,
    learning_rates,
)
from pixel_lora_pipeline.validate.base_model import BaseModelError
from pixel_lora_pipeline.whole_file import write_whole

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

_PRECISIONS: Final = {"float": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepReport:
    """What one optimizer step did.

    Attributes
    ----------
    step, steps
        This one, counted from 1, and all that are planned.
    epoch, epochs
        Likewise.
    loss
        Mean over the step's pictures; NaN or infinite once the training has diverged.
    learning_rates
        Used in this step, by part: "unet", "text_encoder".
    grad_norm
        Before clipping.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    loss: float
    learning_rates: dict[str, float]
    grad_norm: float

    @property
    def diverged(self) -> bool:
        """Whether there is nothing left to learn: the loss is no number."""
        return not math.isfinite(self.loss)


@dataclass(frozen=True)
class EpochReport:
    """What one epoch did.

    Attributes
    ----------
    epoch, epochs
        This one, counted from 1, and all that are planned.
    step
        Optimizer steps done.
    loss
        Mean over the epoch's steps.
    seconds
        That the epoch took.
    path
        The checkpoint that was saved, or None.
    """

    epoch: int
    epochs: int
    step: int
    loss: float
    seconds: float
    path: Path | None


def train_lora(
    config: Mapping[str, object] | LoraConfig,
    output_dir: Path,
    *,
    base_model: Path | None = None,
    images: Path | None = None,
    on_step: Callable[[StepReport], None] | None = None,
    on_epoch: Callable[[EpochReport], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> list[Path]:
    """Trains a LoRA and saves its epochs as Kohya does.

    Beside the checkpoints lies `{output_name}.toml` with the whole configuration, because a checkpoint's
    header does not record all of it. The same configuration, seed, pictures and base model give the same
    weights on the same machine. A training that diverges goes on and saves what it has, NaN included, as
    Kohya's does.

    Parameters
    ----------
    config
        Kohya's names and values, or a configuration already read.
    output_dir
        Where the checkpoints go; made if it is missing. Here and in the next two, the argument wins over the
        configuration, as Kohya's command line wins over its file.
    base_model
        Diffusers folder; the embedded model if neither this nor the configuration names one.
    images
        Kohya's `train_data_dir`: the parent of `N_name` folders.
    on_step, on_epoch
        Called after every optimizer step and after every epoch, once its checkpoint is complete.
    should_stop
        Asked before every step; true ends the training without a further checkpoint.

    Returns
    -------
    list of Path
        The saved checkpoints, in order; unless it was stopped, the last is `{output_name}.safetensors`.

    Raises
    ------
    ConfigError
        If the configuration, the pictures or `network_weights` cannot be used.
    BaseModelError
        If there is no base model.
    """
    session = Session(secrets.randbelow(2**32 + 1), time.time())
    config = config if isinstance(config, LoraConfig) else read_config(config)
    for sentence in config.inert():
        _log.warning("%s.", sentence)
    base_model = base_model or config.pretrained_model_name_or_path or WEIGHTS
    images = images or config.train_data_dir
    if images is None:
        raise ConfigError(["train_data_dir is not set: name the parent of the N_name folders with pictures"])
    base = _load_base(base_model)
    diffusion = Diffusion.of(base.scheduler)
    size = _picture_size(base)
    config = config.model_copy(
        update={
            "pretrained_model_name_or_path": base_model,
            "train_data_dir": images,
            "output_dir": output_dir,
            # The file beside the checkpoints tells it later, to whoever works in another folder.
            "network_weights": None if config.network_weights is None else config.network_weights.absolute(),
            "resolution": _agreed("resolution", config.resolution, size),
            "v_parameterization": _agreed("v_parameterization", config.v_parameterization, diffusion.predicts_velocity),
            "seed": secrets.randbelow(2**32) if config.seed is None else config.seed,
        }
    )
    training_set = read_training_set(images, config, size)
    training = _Training(config, base, diffusion, training_set)
    plan = training.plan
    header = run_header(
        config,
        session,
        plan,
        training_set,
        base_model,
        size,
        predicts_velocity=diffusion.predicts_velocity,
        optimizer=describe_optimizer(config),
    )

    output_dir.mkdir(parents=True, exist_ok=True)
    write_whole(output_dir / f"{config.output_name}.toml", config.to_toml().encode())
    saved: list[Path] = []
    step = 0
    for epoch in range(1, plan.epochs + 1):
        began = time.monotonic()
        losses = []
        for step_batches in training.steps_of_epoch():
            if should_stop is not None and should_stop():
                return saved
            step += 1
            rates = training.learning_rates()
            loss, grad_norm = training.step(step_batches, epoch)
            losses.append(loss)
            if on_step is not None:
                on_step(StepReport(step, plan.steps, epoch, plan.epochs, loss, rates, grad_norm))
            if step == plan.steps:
                break
        path = None
        if epoch == plan.epochs:
            path = output_dir / final_file_name(config.output_name)
        elif epoch % config.save_every_n_epochs == 0:
            path = output_dir / epoch_file_name(config.output_name, epoch)
        if path is not None:
            metadata = checkpoint_header(header, epoch=epoch, step=step, saved_at=time.time())
            save_checkpoint(path, training.tensors(), metadata)
            saved.append(path)
        if on_epoch is not None:
            mean_loss = sum(losses) / len(losses)
            on_epoch(EpochReport(epoch, plan.epochs, step, mean_loss, time.monotonic() - began, path))
    return saved


class _Training:
    """The state of a training: network, optimizer, schedule, and the sources of chance.

    Each kind of chance has its own source, so that a parameter that uses more of one (dropout, flipping)
    leaves the others as they were: two configurations with one seed see the pictures in the same order, under
    the same noise.
    """

    def __init__(
        self,
        config: LoraConfig,
        base: "StableDiffusionPipeline",
        diffusion: Diffusion,
        training_set: TrainingSet,
    ) -> None:
        self._config = config
        self._base = base
        self._diffusion = diffusion
        for part in (base.unet, base.text_encoder, base.vae):
            part.requires_grad_(False)
            part.eval()
        weights, dropout, order, captions, augmentation, noise = np.random.SeedSequence(config.seed).spawn(6)
        self._order, self._captions, self._augmentation = map(np.random.default_rng, (order, captions, augmentation))
        self._noise = _generator(noise)
        self._network = LoraNetwork(base.unet, base.text_encoder, config, _generator(weights), _generator(dropout))
        if config.network_weights is not None:
            self._network.load_weights(config.network_weights)
        self._optimizer = build_optimizer(config, self._network)
        self._trained = [parameter for parameter in self._network.parameters() if parameter.requires_grad]
        self._epoch = training_set.epoch
        self._pictures = training_set.pictures
        self.plan = Plan.of(config, len(self._epoch))
        self._schedule = build_schedule(config, self._optimizer, self.plan.steps)
        self._latents = Latents(base.vae, self._pictures, config)

    def steps_of_epoch(self) -> list[list[NDArray[np.intp]]]:
        """The epoch's batches, in new order, grouped by the optimizer step that they share."""
        shuffled = batches(self._epoch, self._config.train_batch_size, self._order)
        together = self._config.gradient_accumulation_steps
        return [shuffled[start : start + together] for start in range(0, len(shuffled), together)]

    def learning_rates(self) -> dict[str, float]:
        """The rates of the next step."""
        return dict(zip(learning_rates(self._config), map(float, self._schedule.get_last_lr()), strict=True))

    def step(self, step_batches: list[NDArray[np.intp]], epoch: int) -> tuple[float, float]:
        """One optimizer step; its loss, and the gradient's norm before clipping."""
        config = self._config
        self._network.train()
        total = 0.0
        with self._network.attached():
            for indices in step_batches:
                # Divided by the configured number also where an epoch ends on fewer batches, as Kohya's is.
                loss = self._loss(indices, epoch) / config.gradient_accumulation_steps
                loss.backward()  # type: ignore[no-untyped-call]
                total += loss.item()
        grad_norm = clip_gradients(self._trained, config.max_grad_norm)
        self._optimizer.step()
        self._schedule.step()
        self._optimizer.zero_grad(set_to_none=True)
        if config.scale_weight_norms:
            self._network.limit_norms(config.scale_weight_norms)
        return total * config.gradient_accumulation_steps / len(step_batches), grad_norm

    def tensors(self) -> dict[str, Tensor]:
        """The network's weights as they are saved."""
        precision = _PRECISIONS[self._config.save_precision]
        return {name: value.to(precision).contiguous() for name, value in self._network.state_dict().items()}

    def _loss(self, indices: NDArray[np.intp], epoch: int) -> Tensor:
        latents = self._latents.of(indices, self._augmentation)
        captions = [
            vary_caption(self._pictures[index].caption, self._config, epoch, self._captions) for index in indices
        ]
        noise = draw_noise(latents, self._config, self._noise)
        timesteps = torch.randint(len(self._diffusion.signal), (len(indices),), generator=self._noise)
        tokens = self._base.tokenizer(
            captions,
            padding="max_length",
            max_length=self._base.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        hidden = self._base.text_encoder(tokens).last_hidden_state
        predicted = self._base.unet(self._diffusion.noisy(latents, noise, timesteps), timesteps, hidden).sample
        target = self._diffusion.target(latents, noise, timesteps)
        return loss_per_image(predicted, target, timesteps, self._diffusion, self._config).mean()


def _load_base(folder: Path) -> "StableDiffusionPipeline":
    base = load_pipeline(folder)
    predicts = base.scheduler.config.prediction_type
    if predicts not in ("epsilon", "v_prediction"):
        raise BaseModelError(folder, f"it predicts {predicts!r}.", "Only epsilon and v_prediction can be trained.")
    return base


def _picture_size(base: "StableDiffusionPipeline") -> tuple[int, int]:
    side = int(base.unet.config.sample_size) * int(base.vae_scale_factor)
    return side, side


def _agreed(name: str, wanted: object, actual: object) -> object:
    if wanted not in (None, actual):
        raise ConfigError([f"{name} = {wanted}: the base model has {actual}, and can do nothing else"])
    return actual


def _generator(source: np.random.SeedSequence) -> torch.Generator:
    return torch.Generator().manual_seed(int(source.generate_state(1, np.uint64)[0] >> np.uint64(1)))
