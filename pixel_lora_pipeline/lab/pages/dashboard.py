"""The first page: all runs, what is going on, and what wants attention."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pixel_lora_pipeline.cost_budgets import budget_of_month
from pixel_lora_pipeline.lab.chart import sparkline
from pixel_lora_pipeline.lab.page import render, store_of
from pixel_lora_pipeline.lab.pages.run import first_seeds
from pixel_lora_pipeline.lab.verdict import ShownVerdict, shown_verdict
from pixel_lora_pipeline.store import RunSummary
from pixel_lora_pipeline.train.costs.usage import month_of

RUNS_A_PAGE: Final = 50

_MOST_IMAGES: Final = 24
_MOST_UNDER_WAY: Final = 8
_MOST_TROUBLES: Final = 8
_MOST_EXPERIMENTS: Final = 8
_MOST_REPORTS: Final = 3
_LAST_PAGE: Final = 1_000_000  # an offset that Postgres still takes


@dataclass(frozen=True)
class _Line:
    """A line of the list."""

    run: RunSummary
    verdict: ShownVerdict
    course: str


def show(request: Request) -> Response:
    """The page; `?q=` looks for runs by name, `?page=` turns to older ones."""
    store = store_of(request)
    live = store.lab_events.cursor()
    search, page = _asked(request)
    return render(
        request,
        "dashboard.html.jinja",
        live=live,
        search=search,
        page=page,
        **_runs(request, search, page),
        **_latest(request),
        **_now(request),
    )


def runs(request: Request) -> Response:
    """The list alone, for live pages."""
    search, page = _asked(request)
    return render(request, "runs.html.jinja", search=search, page=page, **_runs(request, search, page))


def latest(request: Request) -> Response:
    """The latest images alone, for live pages."""
    return render(request, "latest.html.jinja", **_latest(request))


def now(request: Request) -> Response:
    """What is going on and what wants attention alone, for live pages."""
    return render(request, "now.html.jinja", **_now(request))


def _asked(request: Request) -> tuple[str, int]:
    page = request.query_params.get("page", "1")
    number = int(page) if page.isascii() and page.isdecimal() and len(page) <= len(str(_LAST_PAGE)) else 1
    return request.query_params.get("q", "").strip(), max(1, number)


def _runs(request: Request, search: str, page: int) -> dict[str, Any]:
    overview = store_of(request).overview
    found = overview.runs(search, limit=RUNS_A_PAGE, offset=RUNS_A_PAGE * (page - 1))
    count = overview.count_runs(search)
    return {
        "lines": [_Line(run, shown_verdict(run), sparkline(run.scores)) for run in found],
        "count": count,
        "first": RUNS_A_PAGE * (page - 1) + 1,
        "has_more": count > RUNS_A_PAGE * page,
    }


def _latest(request: Request) -> dict[str, Any]:
    latest = store_of(request).overview.latest_images()
    if latest is None:
        return {"shown": None}
    run_id, run_name, epoch, images = latest
    return {"shown": (run_id, run_name, epoch, first_seeds(images)[:_MOST_IMAGES])}


def _now(request: Request) -> dict[str, Any]:
    store = store_of(request)
    under_way = store.overview.under_way()
    return {
        "epochs": under_way[:_MOST_UNDER_WAY],
        "more_epochs": len(under_way[_MOST_UNDER_WAY:]),
        "experiments": store.experiments.all(("RUNNING", "EVALUATING", "QUEUED"))[:_MOST_EXPERIMENTS],
        "troubles": store.overview.trouble(_MOST_TROUBLES),
        "baseline": store.baselines.current(),
        "reports": store.overview.impact_reports(_MOST_REPORTS),
        **_money(request),
    }


def _money(request: Request) -> dict[str, Any]:
    """What this month has cost, and of how much; nothing where no use of a machine was ever counted."""
    store, state = store_of(request), request.app.state
    spent = state.spending.latest() if store.gpu_usage.machines() else None
    if spent is None:
        return {"month": None}
    month = month_of(datetime.now(UTC))
    return {"month": month, "spent": spent, "budget": budget_of_month(store, state.settings.costs, month, spent)}


routes = [
    Route("/", show),
    Route("/fragments/runs", runs),
    Route("/fragments/latest", latest),
    Route("/fragments/now", now),
]
