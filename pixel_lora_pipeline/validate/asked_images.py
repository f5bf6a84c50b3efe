"""Which of an epoch's images answer what a suite asks now."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from pixel_lora_pipeline.validate.batches import ImageRequest


class Painted(Protocol):
    """A generated image that remembers what it was asked for; the rows of `prompt_test_results` are such."""

    @property
    def prompt_id(self) -> str: ...  # noqa: D102
    @property
    def prompt(self) -> str: ...  # noqa: D102
    @property
    def negative_prompt(self) -> str: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def width(self) -> int: ...  # noqa: D102
    @property
    def height(self) -> int: ...  # noqa: D102
    @property
    def fingerprint(self) -> Mapping[str, Any]: ...  # noqa: D102


Image = TypeVar("Image", bound=Painted)


def asked_images(requests: Sequence[ImageRequest], images: Iterable[Image]) -> list[Image]:
    """The images of these requests, in their order; of several of one request the last, of others none.

    A suite that got another prompt is a new version, but the images of the prompts that stay are what they were:
    they are told by what they were asked for, word for word, and not by the version that asked first.
    """
    painted = {
        (
            image.prompt_id,
            image.prompt,
            image.negative_prompt,
            image.seed,
            image.width,
            image.height,
            image.fingerprint.get("steps"),
            image.fingerprint.get("guidance"),
        ): image
        for image in images
    }
    wanted = [
        (
            request.prompt_id,
            request.prompt,
            request.negative_prompt,
            request.seed,
            request.width,
            request.height,
            request.steps,
            request.guidance,
        )
        for request in requests
    ]
    return [painted[asked] for asked in wanted if asked in painted]
