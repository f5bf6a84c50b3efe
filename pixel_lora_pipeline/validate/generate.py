"""Images of a checkpoint: the same request gives the same picture, and no picture is painted twice."""

import gc
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.base_model import BaseModel, Device, Precision, load_base_model
from pixel_lora_pipeline.validate.batches import Batch, ImageRequest, Job, plan_batches, split_batch
from pixel_lora_pipeline.validate.fingerprint import canonical_json, fingerprint_hash, library_versions
from pixel_lora_pipeline.validate.image_file import ImageFault, fault_of, levels_of, png_bytes
from pixel_lora_pipeline.validate.library_noise import harmless_lines_dropped
from pixel_lora_pipeline.validate.lora import LoraFile, load_lora, read_lora, unload_lora

__all__ = ["GeneratedImage", "GenerationMemoryError", "Generator", "ImageFault", "ImageRequest"]

# On one core a 64×64 image costs 0.54 s alone, 0.34 s in a batch of eight and 0.37 s in one of fifteen.
_MOST_ROWS = 8
# Pixels a batch, to begin with. A processor gains from batches only while images are tiny, and where its
# memory ends the operating system kills the process instead of raising an error that could be caught.
_PIXELS_ON_PROCESSOR = 512 * 512
_PIXELS_ON_ACCELERATOR = 4 * 512 * 512
_MEMORY_MESSAGES = ("out of memory", "not enough memory", "can't allocate memory")


@dataclass(frozen=True)
class GeneratedImage:
    """A painted image, with what identifies it.

    Attributes
    ----------
    fingerprint
        Everything that shapes the pixels, as JSON values; listed at `Generator.generate`.
    fingerprint_hash
        SHA-256 of its canonical JSON.
    png
        The file's bytes.
    fault
        Why the image is unusable, or None.
    warnings
        What went wrong on the way, in sentences: the fault, and the second attempt in float32.
    """

    request: ImageRequest
    fingerprint: dict[str, Any]
    fingerprint_hash: str
    png: bytes
    fault: ImageFault | None
    warnings: tuple[str, ...]


class GenerationMemoryError(MemoryError):
    """Not even a single image fits into memory."""


class Generator:
    """Paints with one base model and, one at a time, any number of LoRA checkpoints.

    The base model is loaded on first use and kept. Not for several threads at once.

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

        As `generate_batches`, image by image.
        """
        for batch in self.generate_batches(checkpoint, requests, skip=skip, on_progress=on_progress):
            yield from batch

    def generate_batches(
        self,
        checkpoint: Path | None,
        requests: Sequence[ImageRequest],
        *,
        skip: Collection[str] = frozenset(),
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[list[GeneratedImage]]:
        """Paint the requests that are not known yet, in batches.

        A caller that stores each batch at once loses at most one when it is killed; the next run, given the
        stored fingerprints as `skip`, paints what is missing.

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
        list of GeneratedImage
            In the order of `requests`, grouped by size, steps and guidance where these vary.

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
        noise of an image comes from its own seed on the processor, so that it depends on no other image. What
        is left is arithmetic: kernels round differently for different batch sizes (on a processor by 2e-6 of
        the range, which moves about one value in 100,000 by one level of 255). Therefore an image's batch size
        follows from its place in the whole list, and a batch of which some images are known already is filled
        up with repetitions. Which images stand beside it, and in which row, was measured to change no bit on a
        processor.

        *What may differ* by such rounding under one fingerprint: images painted in a list of another length,
        after memory ran out (batches are halved, and the size that worked is kept), with another number of
        threads, or on another processor or GPU of the same type.

        *The fingerprint* holds the content hashes of the base model and the LoRA, the strength, scheduler class
        and configuration, prompt, negative prompt, seed, size, steps, guidance, precision, device type and the
        versions of torch, diffusers, transformers and peft.
        """
        if not requests:
            return
        lora = None if checkpoint is None else read_lora(checkpoint)
        todo = deque(plan_batches(self._jobs(lora, requests), skip, self._row_limit))
        done, total = len(requests) - sum(len(batch.jobs) for batch in todo), len(requests)
        if on_progress:
            on_progress(done, total)
        while todo:
            batch = todo.popleft()
            limit = self._row_limit(batch.jobs[0].request)
            if batch.rows > limit:
                todo.extendleft(reversed(split_batch(batch, limit)))
                continue
            # Again before every batch: the caller may have painted something else since the last one.
            self._apply(lora)
            images = self._paint(batch)
            if images is None:
                self._shrink(batch)
                todo.appendleft(batch)
                continue
            yield images
            done += len(images)
            if on_progress:
                on_progress(done, total)

    def _jobs(self, lora: LoraFile | None, requests: Sequence[ImageRequest]) -> list[Job]:
        scheduler = self.base.pipeline.scheduler
        public = {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
        shared = {
            "base": self.base.sha256,
            "lora": None if lora is None else {"sha256": lora.sha256, "strength": self._strength},
            "scheduler": {"class": type(scheduler).__name__, "config": canonical_json(public)},
            "precision": self.base.precision,
            "device": self.base.device,
            "versions": library_versions(),
        }
        jobs: list[Job] = []
        for request in requests:
            fingerprint = {
                **shared,
                "prompt": request.prompt,
                "negative_prompt": request.negative_prompt,
                "seed": request.seed,
                "width": request.width,
                "height": request.height,
                "steps": request.steps,
                "guidance": float(request.guidance),
            }
            jobs.append(Job(request, fingerprint, fingerprint_hash(fingerprint)))
        return jobs

    def _row_limit(self, request: ImageRequest) -> int:
        affordable = self._affordable_pixels
        if affordable is None:
            if self._batch_size is not None:
                return self._batch_size
            affordable = _PIXELS_ON_PROCESSOR if self.base.device == "cpu" else _PIXELS_ON_ACCELERATOR
        return max(1, min(self._batch_size or _MOST_ROWS, affordable // (request.width * request.height)))

    def _shrink(self, batch: Batch) -> None:
        """Remember that half of a batch may fit where the whole did not."""
        import torch

        request = batch.jobs[0].request
        if batch.rows == 1:
            raise GenerationMemoryError(
                f"One image of {request.width}×{request.height} does not fit into the memory of "
                f"'{self.base.device}'. Free memory, set precision to float16, or make the suite's images smaller."
            )
        self._affordable_pixels = -(-batch.rows // 2) * request.width * request.height
        gc.collect()
        if self.base.device == "cuda":
            torch.cuda.empty_cache()
        elif self.base.device == "mps":
            torch.mps.empty_cache()

    def _apply(self, lora: LoraFile | None) -> None:
        wanted = None if lora is None else lora.sha256
        if wanted == self._applied:
            return
        self._applied = None  # after a failure the pipeline is the bare base model
        if lora is None:
            unload_lora(self.base.pipeline)
        else:
            load_lora(self.base.pipeline, lora, self._strength)
        self._applied = wanted

    def _paint(self, batch: Batch) -> list[GeneratedImage] | None:
        """The batch's images, or None if memory ran out."""
        painted = self._call_pipeline([job.request for job in batch.jobs], batch.rows)
        if painted is None:
            return None
        return [self._finished(job, values) for job, values in zip(batch.jobs, painted, strict=True)]

    def _finished(self, job: Job, values: NDArray[np.float32]) -> GeneratedImage:
        fault = fault_of(values)
        warnings: list[str] = []
        if fault is not None:
            warnings.append(f"The image came out {fault} in {self.base.precision}.")
        if fault is not None and self.base.precision != "float32":
            again = self._call_pipeline([job.request], rows=1, in_float32=True)
            if again is None:
                warnings.append("There was not enough memory to paint it again in float32.")
            else:
                values = again[0]
                fault = fault_of(values)
                warnings.append(f"Painted again in float32 it is {fault or 'usable'}.")
        png = png_bytes(levels_of(values))
        return GeneratedImage(job.request, job.fingerprint, job.fingerprint_hash, png, fault, tuple(warnings))

    def _call_pipeline(
        self, requests: list[ImageRequest], rows: int, *, in_float32: bool = False
    ) -> NDArray[np.float32] | None:
        """Values in 0 … 1 or NaN, shape (requests, height, width, 3); None if memory ran out."""
        import torch

        first = requests[0]
        filled = requests + [requests[-1]] * (rows - len(requests))
        try:
            with harmless_lines_dropped(), _weights_in_float32(self.base.pipeline) if in_float32 else nullcontext():
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
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            # Not retried here: until the error is gone, its traceback keeps the batch's tensors alive.
            return None
        return images[: len(requests)]


def _is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    import torch

    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return any(message in str(error).lower() for message in _MEMORY_MESSAGES)


@contextmanager
def _weights_in_float32(pipeline: Any) -> Iterator[None]:
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
