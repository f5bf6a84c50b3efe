"""One run: the verdict first, then its course, its images, and what was found."""

from collections.abc import Iterable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pixel_lora_pipeline.analyze.comparison import Comparison
from pixel_lora_pipeline.lab.chart import Chart, Point, Series, progress_chart
from pixel_lora_pipeline.lab.family_chart import family_chart
from pixel_lora_pipeline.lab.page import render, store_of
from pixel_lora_pipeline.lab.verdict import shown_verdict
from pixel_lora_pipeline.lineage import Gain, family, gain_over_parent, how_known
from pixel_lora_pipeline.store import EpochSummary, RunSummary, ShownImage, UnknownRunError

METRICS = (
    ("Colours", ("color_accuracy", "overall")),
    ("Background", ("color_accuracy", "background_accuracy")),
    ("Hair", ("color_accuracy", "hair_accuracy")),
    ("Accessories", ("color_accuracy", "accessory_accuracy")),
    ("Style", ("style_quality", "overall")),
    ("Purity", ("style_quality", "pixel_art_purity")),
)
"""Columns of the table of epochs: title, and where the number, 0 to 100, stands in the rollup."""


def show(request: Request) -> Response:
    """The page."""
    live = store_of(request).lab_events.cursor()
    return render(request, "run.html.jinja", live=live, **_shown(request))


def fragment(request: Request) -> Response:
    """Its content alone, for live pages."""
    return render(request, "run_content.html.jinja", **_shown(request))


def found_run(request: Request) -> RunSummary:
    """The run that the address names.

    Raises
    ------
    HTTPException
        If there is none.
    """
    try:
        return store_of(request).overview.run(request.path_params["run_id"])
    except UnknownRunError as unknown:
        raise HTTPException(404, str(unknown)) from None


def scores(epochs: list[EpochSummary]) -> list[Point]:
    """The measured epochs as points of a chart."""
    return [
        Point(epoch.epoch, score, *_interval(epoch.metrics))
        for epoch in epochs
        if (score := number(epoch.metrics, ("overall_score",))) is not None
    ]


def first_seeds(images: Iterable[ShownImage]) -> list[ShownImage]:
    """One image of each prompt, that of its first seed, in the order of the prompts."""
    first: dict[str, ShownImage] = {}
    for image in sorted(images, key=lambda image: (image.prompt_id, image.seed)):
        first.setdefault(image.prompt_id, image)
    return list(first.values())


def number(document: Any, path: tuple[str, ...]) -> float | None:
    """What stands at a place of a stored document, if it is a number."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return float(document) if isinstance(document, int | float) and not isinstance(document, bool) else None


def _shown(request: Request) -> dict[str, Any]:
    store = store_of(request)
    run = found_run(request)
    epochs = store.overview.epochs(run.run_id)
    verdict = shown_verdict(run)
    measured = [epoch for epoch in epochs if epoch.metrics is not None]
    relatives = family(store, run.run_id, with_gains=False)
    own = next(relative.origin for relative in relatives if relative.generation == 0)
    last = measured[-1] if measured else None
    chart: Chart | None = progress_chart(
        f"Score of {run.run_name} by epoch",
        [Series(run.run_name, scores(epochs), verdict.fitted)],
        run.planned_epochs,
        verdict.best_interval,
    )
    return {
        "run": run,
        "verdict": verdict,
        "epochs": epochs,
        "last": last,
        "images": [] if last is None else first_seeds(store.overview.images([last.epoch_id])),
        "chart": chart,
        "own": own,
        "gain": _gains(gain_over_parent(store, own)),
        "family": family_chart(relatives),
        "how_known": how_known,
        "metrics": METRICS,
        "number": number,
        "costs": (run.cost_counted or {}).get("epochs"),
        "evaluated": (run.cost_counted or {}).get("evaluation"),
    }


def _gains(gain: Gain | None) -> list[tuple[str, Comparison]]:
    """The comparisons with a run's parent that there are, with what they tell."""
    if gain is None:
        return []
    told = (
        ("Its best epoch against its parent's", gain.over_best),
        ("Against the one it started from", gain.over_start),
    )
    return [(said, comparison) for said, comparison in told if comparison is not None]


def _interval(metrics: dict[str, Any] | None) -> tuple[float | None, float | None]:
    interval = (metrics or {}).get("intervals", {}).get("overall_score")
    if not isinstance(interval, list) or len(interval) != 2:
        return None, None
    low, high = (number({"value": end}, ("value",)) for end in interval)
    return (None, None) if low is None or high is None else (low, high)


routes = [Route("/runs/{run_id}", show), Route("/fragments/runs/{run_id}", fragment)]
