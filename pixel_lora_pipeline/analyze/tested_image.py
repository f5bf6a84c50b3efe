"""What the analysis of a run needs to know of an image: which question it answers, and what was measured on it."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, TypeVar


class TestedImage(Protocol):
    """An image of the suite with its measurements; the rows of `prompt_test_results` are such.

    Attributes
    ----------
    metrics
        As `ImageMeasurement.to_dict` writes them; None if nothing was or could be measured.
    fault
        Why the image shows nothing that could be measured; None as a rule.
    """

    @property
    def prompt_id(self) -> str: ...  # noqa: D102
    @property
    def prompt(self) -> str: ...  # noqa: D102
    @property
    def negative_prompt(self) -> str: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102
    @property
    def fault(self) -> str | None: ...  # noqa: D102
    @property
    def metrics(self) -> Mapping[str, Any] | None: ...  # noqa: D102
    @property
    def metrics_version(self) -> str | None: ...  # noqa: D102


Question = tuple[str, str, int]
Image = TypeVar("Image", bound=TestedImage)


def question(image: TestedImage) -> Question:
    """What two images have in common that may be compared: prompt, negative prompt and seed, word for word.

    Not the prompt's id, under which another version of the suite may ask something else.
    """
    return image.prompt, image.negative_prompt, image.seed


def by_question(images: Iterable[Image]) -> dict[Question, Image]:
    """One image a question: of images that were painted again the last."""
    return {question(image): image for image in images}


def measured(image: TestedImage, path: tuple[str, ...]) -> float | None:
    """One number of an image's measurements, truth values as 0 and 1; None where it is not known."""
    value: Any = image.metrics
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return float(value) if isinstance(value, bool | int | float) else None
