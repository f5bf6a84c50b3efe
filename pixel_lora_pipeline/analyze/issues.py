"""Measured failures of a run: which there are, since which epoch, and whether they are going away."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from scipy.stats import binomtest

from pixel_lora_pipeline.analyze.tested_image import Question, TestedImage, measured, question
from pixel_lora_pipeline.validate.style import FEW_COLORS

IssueState = Literal["new", "persisting", "resolving", "resolved"]

# Of 20 images one may be an accident of its seed or of the measurement.
TOLERATED: Final = 0.05
# What one image shows is not yet a failure of the epoch.
FEWEST_IMAGES: Final = 2
# A failure is falling if so many more images were mended than newly broken that chance does it less often.
_CHANCE: Final = 0.05
# It is gone once, with 95 %, less than half of the images that used to show it still would: four looks at such
# images without a relapse, or sixteen with four.
_STILL_FAILING: Final = 0.5


@dataclass(frozen=True)
class IssueDefinition:
    """What counts as a failure of an image, and how many such images make one of the epoch.

    Attributes
    ----------
    value
        The measurement that is judged; None where it could not be told, which counts neither way.
    fails_when, threshold
        An image fails if its value is below, or above, the threshold.
    reason
        Why the threshold is where it is.
    tolerated
        Share of images that may fail; an epoch has the issue if its share is above that with 95 % (Wilson's
        interval, two-sided).
    fewest
        Failing images without which an epoch never has it.
    """

    key: str
    label: str
    value: Callable[[TestedImage], float | None]
    fails_when: Literal["below", "above"]
    threshold: float
    reason: str
    tolerated: float = TOLERATED
    fewest: int = FEWEST_IMAGES

    def fails(self, image: TestedImage) -> bool | None:
        """Whether an image shows the failure; None if it cannot be told."""
        value = self.value(image)
        if value is None:
            return None
        return value < self.threshold if self.fails_when == "below" else value > self.threshold


def _metric(*path: str) -> Callable[[TestedImage], float | None]:
    return lambda image: measured(image, path)


def _least_accessory(image: TestedImage) -> float | None:
    """How surely the least visible of the accessories that the prompt names is there, 0-100."""
    seen = ((image.metrics or {}).get("evidence") or {}).get("accessories") or {}
    presences = [sighting["presence"] for sighting in seen.values() if sighting.get("presence") is not None]
    return min(presences) if presences else measured(image, ("color_accuracy", "accessory_accuracy"))


def _drift_of_cells(image: TestedImage) -> float | None:
    """Drift of the edges in shares of a cell; 1 for an image without a grid; None if it was not measured."""
    grid = (image.metrics or {}).get("grid")
    if not isinstance(grid, Mapping):
        return None
    size, error = grid.get("pixel_size"), grid.get("off_grid_error")
    return 1.0 if size is None or error is None else float(error) / float(size)


def _shows_nothing(image: TestedImage) -> float:
    return float(image.fault is not None)


DEFINITIONS: Final = (
    IssueDefinition(
        "black_images",
        "Black or empty images",
        _shows_nothing,
        "above",
        0.5,
        "the image is black, of one colour, or not finite: weights or precision are at fault, never the prompt",
        tolerated=0.0,
        fewest=1,
    ),
    IssueDefinition(
        "photorealism",
        "Photorealism",
        _metric("style_quality", "is_photorealistic"),
        "above",
        0.5,
        "smooth shading, and a pixel-art purity below 50: sprites have 90 and more, photographs below 40",
    ),
    IssueDefinition(
        "low_purity",
        "Low pixel-art purity",
        _metric("style_quality", "pixel_art_purity"),
        "below",
        70.0,
        "from 70 on the documents call a score good; clean sprites reach 90",
    ),
    IssueDefinition(
        "off_grid",
        "Off the pixel grid",
        _drift_of_cells,
        "above",
        0.1,
        "edges drift by a tenth of a cell, at which blocks are seen to be unequal, or there is no grid at all",
    ),
    IssueDefinition(
        "large_palette",
        "Too many colours",
        _metric("style_quality", "color_palette_size"),
        "above",
        float(FEW_COLORS),
        "the roadmap calls 20 to 50 colours a limited palette",
    ),
    IssueDefinition(
        "wrong_background",
        "Wrong background colour",
        _metric("color_accuracy", "background_accuracy"),
        "below",
        50.0,
        "most of the background has another colour than the prompt names",
    ),
    IssueDefinition(
        "wrong_hair_color",
        "Wrong hair colour",
        _metric("color_accuracy", "hair_color_accuracy"),
        "below",
        50.0,
        "most of the hair has another colour than the prompt names",
    ),
    IssueDefinition(
        "two_toned_hair",
        "Two-toned hair",
        _metric("color_accuracy", "hair_is_two_toned"),
        "above",
        0.5,
        "two colours that are no shades of each other share the hair",
    ),
    IssueDefinition(
        "missing_accessory",
        "Accessory missing or in another colour",
        _least_accessory,
        "below",
        50.0,
        "in its place its colour is rarer than in half of the portraits that have it",
    ),
)


@dataclass(frozen=True)
class EpochImages:
    """The images of an epoch."""

    epoch: int
    images: Sequence[TestedImage]


@dataclass(frozen=True)
class Observation:
    """An issue at one epoch: failing of judged images, with the 95 % Wilson interval of the share.

    `seen` says whether the epoch has the issue, None if no image could be judged.
    """

    epoch: int
    failing: int
    judged: int
    share: float | None
    interval: tuple[float, float] | None
    seen: bool | None


@dataclass(frozen=True)
class Issue:
    """A failure that some epoch of a run had, and what became of it.

    Attributes
    ----------
    state
        "new": the last epoch that could show it is the first that does. "persisting": it is still there, or was
        not looked at again. "resolving": still there in significantly fewer of the same images, or not seen again
        but in too few images to be sure. "resolved": not seen again, and of the images that used to show it less
        than half still would, with 95 %.
    first_epoch, last_epoch
        The first and the last epoch that had it.
    history
        Every epoch of the run, in order.
    prompts
        Of the last epoch that could show it: failing and judged images of each prompt that failed.
    sentence
        What the state rests on.
    """

    key: str
    label: str
    state: IssueState
    first_epoch: int
    last_epoch: int
    history: tuple[Observation, ...]
    prompts: dict[str, tuple[int, int]]
    threshold: float
    reason: str
    sentence: str

    @property
    def latest(self) -> Observation:
        """The last epoch that could show it."""
        return next(observation for observation in reversed(self.history) if observation.judged)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values: an element of `epoch_results.diagnosed_issues`."""
        latest = self.latest
        return {
            "issue": self.key,
            "label": self.label,
            "state": self.state,
            "epoch": latest.epoch,
            "failing": latest.failing,
            "n_images": latest.judged,
            "share": latest.share,
            "interval": latest.interval,
            "first_epoch": self.first_epoch,
            "last_epoch": self.last_epoch,
            "threshold": self.threshold,
            "reason": self.reason,
            "sentence": self.sentence,
            "prompts": {prompt: list(counts) for prompt, counts in self.prompts.items()},
            "history": [asdict(observation) for observation in self.history],
        }


def track_issues(epochs: Sequence[EpochImages], definitions: Iterable[IssueDefinition] = DEFINITIONS) -> list[Issue]:
    """The failures of a run up to its last epoch, those that are still there first, the commonest first.

    Epochs are compared only on the prompts and seeds that they share: an issue that a quick look could not have
    shown is not resolved by it. The shares take images for independent; with several seeds a prompt their intervals
    are somewhat too narrow.

    Raises
    ------
    ValueError
        If the epochs are not in rising order.
    """
    numbers = [epoch.epoch for epoch in epochs]
    if numbers != sorted(set(numbers)):
        raise ValueError(f"epochs come in the order {numbers}: give each once, in rising order.")
    issues = [issue for definition in definitions if (issue := _track(definition, epochs)) is not None]
    return sorted(issues, key=lambda issue: (issue.state == "resolved", -(issue.latest.share or 0.0)))


@dataclass(frozen=True)
class _Judged:
    """The images of an epoch that could be judged, and those of them that fail."""

    epoch: int
    prompts: Mapping[Question, str]
    failing: frozenset[Question]


def _track(definition: IssueDefinition, epochs: Sequence[EpochImages]) -> Issue | None:
    judged = [_judge(definition, epoch) for epoch in epochs]
    history = tuple(_observe(definition, epoch.epoch, len(epoch.failing), len(epoch.prompts)) for epoch in judged)
    seen = [at for at, observation in enumerate(history) if observation.seen]
    if not seen:
        return None
    latest = next(at for at in reversed(range(len(history))) if history[at].judged)
    state, sentence = _state(definition, judged, history, seen, latest)
    return Issue(
        key=definition.key,
        label=definition.label,
        state=state,
        first_epoch=history[seen[0]].epoch,
        last_epoch=history[seen[-1]].epoch,
        history=history,
        prompts=_by_prompt(judged[latest]),
        threshold=definition.threshold,
        reason=definition.reason,
        sentence=sentence,
    )


def _judge(definition: IssueDefinition, epoch: EpochImages) -> _Judged:
    prompts, failing = {}, set()
    for image in epoch.images:
        fails = definition.fails(image)
        if fails is None:
            continue
        prompts[question(image)] = image.prompt_id
        if fails:
            failing.add(question(image))
        else:
            failing.discard(question(image))
    return _Judged(epoch.epoch, prompts, frozenset(failing))


def _observe(definition: IssueDefinition, epoch: int, failing: int, judged: int) -> Observation:
    if judged == 0:
        return Observation(epoch, 0, 0, None, None, None)
    interval = _wilson_interval(failing, judged)
    seen = failing >= definition.fewest and interval[0] > definition.tolerated
    return Observation(epoch, failing, judged, failing / judged, interval, seen)


def _state(
    definition: IssueDefinition, judged: Sequence[_Judged], history: Sequence[Observation], seen: list[int], latest: int
) -> tuple[IssueState, str]:
    """The state of an issue, and the sentence that says what it rests on."""
    now, last = history[latest], seen[-1]
    counted = f"{now.failing} of {now.judged} images at epoch {now.epoch}"
    if last == latest:
        if seen == [latest]:
            return "new", f"{counted}; not seen before."
        worst = max(seen[:-1], key=lambda at: (history[at].interval or (0.0, 0.0))[0])
        mended, broken = _changes(judged[worst], judged[latest])
        since = f"{mended} images were mended since epoch {history[worst].epoch}, and {broken} newly broken"
        if mended > broken and binomtest(mended, mended + broken, alternative="greater").pvalue <= _CHANCE:
            return "resolving", f"{counted}; {since}."
        return "persisting", f"{counted}; {since}."

    once = {asked for at in seen for asked in judged[at].failing}
    after = judged[last + 1 : latest + 1]
    looks = sum(len(once & epoch.prompts.keys()) for epoch in after)
    relapses = sum(len(once & epoch.failing) for epoch in after)
    if looks == 0:
        return "persisting", f"No image that showed it at epoch {history[last].epoch} was generated since."
    pooled = _observe(definition, now.epoch, sum(len(e.failing) for e in after), sum(len(e.prompts) for e in after))
    upper = _wilson_interval(relapses, looks)[1]
    found = f"Not seen since epoch {history[last].epoch}: of the images that had shown it, {relapses} of {looks}"
    if upper < _STILL_FAILING and not pooled.seen:
        return "resolved", f"{found} still do (at most {100 * upper:.0f} %)."
    return "resolving", f"{found} still do, too few looks to call it gone (up to {100 * upper:.0f} %)."


def _wilson_interval(failing: int, judged: int) -> tuple[float, float]:
    interval = binomtest(failing, judged).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _changes(before: _Judged, after: _Judged) -> tuple[int, int]:
    """How many of the images that both epochs have were mended, and how many newly broken."""
    shared = before.prompts.keys() & after.prompts.keys()
    return len((before.failing - after.failing) & shared), len((after.failing - before.failing) & shared)


def _by_prompt(epoch: _Judged) -> dict[str, tuple[int, int]]:
    counts: dict[str, tuple[int, int]] = {}
    for asked, prompt_id in epoch.prompts.items():
        failing, judged = counts.get(prompt_id, (0, 0))
        counts[prompt_id] = failing + (asked in epoch.failing), judged + 1
    failed = [(prompt_id, both) for prompt_id, both in counts.items() if both[0]]
    return dict(sorted(failed, key=lambda item: (-item[1][0] / item[1][1], item[0])))
