"""Images of a checkpoint: the same request gives the same picture, and no picture is painted twice."""

import gc
import io
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixel_lora_pipeline.validate.base_model import BaseModel, Device, Precision, load_base_model
from pixel_lora_pipeline.validate.fingerprint import canonical_json, fingerprint_hash, library_versions
from pixel_lora_pipeline.validate.lora import LoraFile, load_lora, read_lora, unload_lora

# On two cores a 64×64 image costs 0.54 s alone, 0.34 s in a batch of eight and 0.37 s in one of fifteen.
_MOST_ROWS = 8
# Pixels a batch, to begin with. A processor gains from batches only while images are tiny, and where its memory
# ends the operating system kills the process instead of raising an error that could be caught.
_PIXELS_ON_PROCESSOR = 512 * 512
_PIXELS_ON_ACCELERATOR = 4 * 512 * 512
# Levels of 255. What a failed half-precision decoder leaves is exactly 0; night scenes reach far higher.
_BLACK_LEVEL = 4
_MEMORY_MESSAGES = ("out of memory", "not enough memory", "can't allocate memory")


@dataclass(frozen=True)
class ImageRequest:
    """One image to paint.

    Attributes
    ----------
    prompt_id
        Name of the prompt in its suite; does not shape the image.
    seed
        0 … 2⁶³ − 1.
    width, height
        Pixels, multiples of 8.
    steps
        Denoising steps, at least 1.
    guidance
        Classifier-free guidance scale; at 1 and below the negative prompt has no effect.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    prompt_id: str
    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    steps: int
    guidance: float

    def __post_init__(self) -> None:
        valid = {
            "seed must be in 0 … 2^63 - 1": 0 <= self.seed < 2**63,
            "width and height must be positive multiples of 8": all(
                side > 0 and side % 8 == 0 for side in (self.width, self.height)
            ),
            "steps must be at least 1": self.steps >= 1,
            "guidance must be a finite number": np.isfinite(self.guidance),
        }
        for rule, kept in valid.items():
            if not kept:
                raise ValueError(f"Request for prompt '{self.prompt_id}': {rule}; got {self}.")


class ImageFault(StrEnum):
    """Why an image shows nothing that could be measured."""

    NOT_FINITE = "not finite"
    BLACK = "black"
    FLAT = "flat"


@dataclass(frozen=True)
class GeneratedImage:
    """A painted image, with what identifies it.

    Attributes
    ----------
    fingerprint
        Everything that shapes the pixels, as JSON values; see `Generator.generate`.
    fingerprint_hash
        SHA-256 of its canonical JSON.
    png
        The file's bytes: pixels only, no text, no time.
    fault
        Why the image is unusable, or None.
    warnings
        What happened on the way, in sentences: faults, and the second attempt in float32.
    """

    request: ImageRequest
    fingerprint: dict[str, Any]
    fingerprint_hash: str
    png: bytes
    fault: ImageFault | None
    warnings: tuple[str, ...]


class GenerationMemoryError(MemoryError):
    """Not even a single image fits into memory."""


@dataclass(frozen=True)
class _Job:
    request: ImageRequest
    fingerprint: dict[str, Any]
    fingerprint_hash: str

    @property
    def call_settings(self) -> tuple[int, int, int, float]:
        """What all images of one pipeline call share."""
        return self.request.width, self.request.height, self.request.steps, self.request.guidance


@dataclass(frozen=True)
class _Batch:
    jobs: tuple[_Job, ...]
    rows: int


class Generator:
    """Paints with one base model and, one at a time, any number of LoRA checkpoints.

    The base model is loaded on first use and kept. One thread at a time.

    Parameters
    ----------
    base_model
        Diffusers folder, single-file checkpoint (.safetensors) or hub name.
    device, precision, allow_downloads
        As for `load_base_model`.
    strength
        Multiplier of the LoRA: 1 as trained, 0 the base model.
    batch_size
        Most images in one call of the pipeline; by default up to 8, as their size allows.
    """

    def __init__(
        self,
        base_model: str | Path,
        *,
        device: Device = "auto",
        precision: Precision = "auto",
        allow_downloads: bool = False,
        strength: float = 1.0,
        batch_size: int | None = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}.")
        self._source = base_model
        self._device: Device = device
        self._precision: Precision = precision
        self._allow_downloads = allow_downloads
        self._strength = float(strength)
        self._batch_size = batch_size
        self._applied: str | None = None
        self._affordable_pixels: int | None = None

    @cached_property
    def base(self) -> BaseModel:
        """The loaded base model."""
        return load_base_model(
            self._source,
            device=self._device,
            precision=self._precision,
            allow_downloads=self._allow_downloads,
        )

    def generate(
        self,
        checkpoint: Path | None,
        requests: Sequence[ImageRequest],
        *,
        skip: Collection[str] = frozenset(),
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[GeneratedImage]:
        """Paint the requests that are not known yet, and hand them over as each batch is done.

        A caller that stores each image at once loses at most one batch when it is killed; the next run, given
        the stored fingerprints as `skip`, paints what is missing.

        Parameters
        ----------
        checkpoint
            LoRA file, or None for the base model alone.
        requests
            The whole list, the known ones included: batches are planned from all of it.
        skip
            Fingerprint hashes of images that exist already.
        on_progress
            Called with (done, total) at the start and after each batch; known images count as done.

        Yields
        ------
        GeneratedImage
            In the order of `requests` within each combination of size, steps and guidance.

        Raises
        ------
        BaseModelError, LoraError
            If the base model or the checkpoint cannot be used. The next call is not affected.
        GenerationMemoryError
            If a single image does not fit into memory.

        Notes
        -----
        *What is the same.* On one machine, with the same library versions and the same number of threads, the
        same list of requests gives the same bytes, also when a part of it was painted by an earlier run. The
        noise of an image comes from its own seed on the processor, so that it depends on no other image; what
        is left is arithmetic: kernels round differently for different batch sizes (on a processor 2e-6 of the
        range, about one value in 60,000 by one level of 255). Therefore each image's batch size follows from
        its place in the whole list, and a batch in which some are known already is filled up with repetitions.
        Which images stand beside it, and in which row, was measured to change no bit on a processor.

        *What may differ* by such rounding under one fingerprint: images painted in a list of another length,
        after memory ran out (batches are halved and the size that worked is kept), with another number of
        threads, or on another processor or GPU of the same type.

        *The fingerprint* holds the base model's and the LoRA's content hash, the strength, scheduler class and
        configuration, prompt, negative prompt, seed, size, steps, guidance, precision, device type and the
        versions of torch, diffusers, transformers and peft.
        """
        if not requests:
            return
        lora = None if checkpoint is None else read_lora(Path(checkpoint))
        jobs = [self._job(lora, request) for request in requests]
        todo = deque(_plan(jobs, skip, self._row_limit))
        done, total = len(jobs) - sum(len(batch.jobs) for batch in todo), len(jobs)
        if on_progress:
            on_progress(done, total)
        while todo:
            batch = todo.popleft()
            limit = self._row_limit(batch.jobs[0].request)
            if batch.rows > limit:
                todo.extendleft(reversed(_split(batch, limit)))
                continue
            # Again before every batch: the caller may have painted something else since the last one.
            self._apply(lora)
            images = self._paint(batch)
            if images is None:
                self._shrink(batch)
                todo.appendleft(batch)
                continue
            yield from images
            done += len(images)
            if on_progress:
                on_progress(done, total)

    def _job(self, lora: LoraFile | None, request: ImageRequest) -> _Job:
        fingerprint = {
            "base": self.base.sha256,
            "lora": None if lora is None else {"sha256": lora.sha256, "strength": self._strength},
            "scheduler": self._scheduler,
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "seed": request.seed,
            "width": request.width,
            "height": request.height,
            "steps": request.steps,
            "guidance": float(request.guidance),
            "precision": self.base.precision,
            "device": self.base.device,
            "versions": library_versions(),
        }
        return _Job(request, fingerprint, fingerprint_hash(fingerprint))

    @cached_property
    def _scheduler(self) -> dict[str, str]:
        scheduler = self.base.pipeline.scheduler
        config = {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
        return {"class": type(scheduler).__name__, "config": canonical_json(config)}

    def _row_limit(self, request: ImageRequest) -> int:
        pixels = self._affordable_pixels
        if pixels is None and self._batch_size is not None:
            return self._batch_size
        if pixels is None:
            pixels = _PIXELS_ON_PROCESSOR if self.base.device == "cpu" else _PIXELS_ON_ACCELERATOR
        return max(1, min(self._batch_size or _MOST_ROWS, pixels // (request.width * request.height)))

    def _shrink(self, batch: _Batch) -> None:
        """Remember that half of a batch may fit where the whole did not."""
        import torch

        request = batch.jobs[0].request
        if batch.rows == 1:
            raise GenerationMemoryError(
                f"One image of {request.width}×{request.height} does not fit into the memory of "
                f"'{self.base.device}'. Choose smaller images in the suite, set precision to float16, or free memory."
            )
        self._affordable_pixels = batch.rows // 2 * request.width * request.height
        gc.collect()
        if self.base.device == "cuda":
            torch.cuda.empty_cache()
        elif self.base.device == "mps":
            torch.mps.empty_cache()

    def _apply(self, lora: LoraFile | None) -> None:
        wanted = None if lora is None else lora.sha256
        if wanted == self._applied:
            return
        # Until the new one is in place, a failure leaves the bare base model.
        self._applied = None
        if lora is None:
            unload_lora(self.base.pipeline)
        else:
            load_lora(self.base.pipeline, lora, self._strength)
        self._applied = wanted

    def _paint(self, batch: _Batch) -> list[GeneratedImage] | None:
        """The batch's images, or None if memory ran out."""
        try:
            pixels = self._call_pipeline([job.request for job in batch.jobs], batch.rows)
            return [self._finish(job, image) for job, image in zip(batch.jobs, pixels, strict=True)]
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
        # Outside of the except block, so that the error's traceback no longer keeps the batch's tensors alive.
        return None

    def _call_pipeline(self, requests: list[ImageRequest], rows: int) -> NDArray[np.float32]:
        """Values in 0 … 1 or NaN, shape (requests, height, width, 3)."""
        import torch

        filled = requests + [requests[-1]] * (rows - len(requests))
        first = requests[0]
        images: NDArray[np.float32] = self.base.pipeline(
            prompt=[request.prompt for request in filled],
            negative_prompt=[request.negative_prompt for request in filled],
            width=first.width,
            height=first.height,
            num_inference_steps=first.steps,
            guidance_scale=first.guidance,
            # On the processor whatever the device, so that a seed means the same noise everywhere.
            generator=[torch.Generator(device="cpu").manual_seed(request.seed) for request in filled],
            output_type="np",
        ).images
        return images[: len(requests)]

    def _finish(self, job: _Job, values: NDArray[np.float32]) -> GeneratedImage:
        fault = _fault_of(values)
        warnings: list[str] = []
        if fault is not None:
            warnings.append(f"The image came out {fault} in {self.base.precision}.")
        if fault is not None and self.base.precision != "float32":
            with _in_float32(self.base.pipeline):
                values = self._call_pipeline([job.request], rows=1)[0]
            fault = _fault_of(values)
            warnings.append(f"Painted again in float32: {'usable' if fault is None else fault}.")
        png = _png(_levels(values))
        return GeneratedImage(job.request, job.fingerprint, job.fingerprint_hash, png, fault, tuple(warnings))


def _plan(
    jobs: Sequence[_Job], skip: Collection[str], row_limit: Callable[[ImageRequest], int]
) -> list[_Batch]:
    """Batches of the missing jobs, of sizes that depend on the whole list and not on what is missing."""
    by_settings: dict[tuple[int, int, int, float], list[_Job]] = {}
    for job in jobs:
        by_settings.setdefault(job.call_settings, []).append(job)
    batches: list[_Batch] = []
    for group in by_settings.values():
        missing_by_rows: dict[int, list[_Job]] = {}
        start = 0
        for rows in _even_sizes(len(group), row_limit(group[0].request)):
            planned = group[start : start + rows]
            start += rows
            missing_by_rows.setdefault(rows, []).extend(
                job for job in planned if job.fingerprint_hash not in skip
            )
        for rows, missing in missing_by_rows.items():
            batches += [_Batch(tuple(missing[at : at + rows]), rows) for at in range(0, len(missing), rows)]
    return batches


def _split(batch: _Batch, limit: int) -> list[_Batch]:
    sizes = _even_sizes(len(batch.jobs), limit)
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [_Batch(batch.jobs[at : at + size], size) for at, size in zip(starts, sizes, strict=True)]


def _even_sizes(count: int, limit: int) -> list[int]:
    """The fewest sizes up to `limit` that add up to `count`, as equal as possible, larger ones first."""
    number = -(-count // limit)
    size, larger = divmod(count, number)
    return [size + 1] * larger + [size] * (number - larger)


def _is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(message in str(error).lower() for message in _MEMORY_MESSAGES)


def _fault_of(values: NDArray[np.float32]) -> ImageFault | None:
    if not np.isfinite(values).all():
        return ImageFault.NOT_FINITE
    levels = _levels(values)
    if levels.max() <= _BLACK_LEVEL:
        return ImageFault.BLACK
    if (levels == levels[0, 0]).all():
        return ImageFault.FLAT
    return None


def _levels(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Values in 0 … 1 as 0 … 255, rounded as diffusers rounds; what is not finite becomes black."""
    return (np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) * 255).round().astype(np.uint8)


def _png(levels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format="PNG")
    return buffer.getvalue()


@contextmanager
def _in_float32(pipeline: Any) -> Iterator[None]:
    """Run the pipeline's models in float32, and give every weight its own type back afterwards, losslessly."""
    import torch

    models = [model for model in pipeline.components.values() if isinstance(model, torch.nn.Module)]
    tensors = [tensor for model in models for tensor in chain(model.parameters(), model.buffers())]
    original = [(tensor, tensor.dtype) for tensor in tensors if tensor.is_floating_point()]
    try:
        for tensor, _ in original:
            tensor.data = tensor.data.float()
        yield
    finally:
        for tensor, dtype in original:
            tensor.data = tensor.data.to(dtype)
