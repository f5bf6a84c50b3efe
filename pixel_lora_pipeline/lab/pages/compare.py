"""Any runs beside each other: their courses in one chart, their figures in one table."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pixel_lora_pipeline.lab.chart import MOST_SERIES, Series, progress_chart
from pixel_lora_pipeline.lab.page import render, store_of
from pixel_lora_pipeline.lab.pages.run import METRICS, number, scores
from pixel_lora_pipeline.lab.verdict import shown_verdict


def show(request: Request) -> Response:
    """The page; `?run=` names the runs by id, once for each."""
    store = store_of(request)
    live = store.lab_events.cursor()
    asked = list(dict.fromkeys(request.query_params.getlist("run")))
    runs = store.overview.runs_by_id(asked[:MOST_SERIES])
    epochs = {run.run_id: store.overview.epochs(run.run_id) for run in runs}
    verdicts = {run.run_id: shown_verdict(run) for run in runs}
    columns = []
    for run in runs:
        best = (run.convergence or {}).get("best_epoch")
        measured = [epoch for epoch in epochs[run.run_id] if epoch.metrics is not None]
        shown = next((epoch for epoch in measured if epoch.epoch == best), measured[-1] if measured else None)
        columns.append((run, verdicts[run.run_id], shown))
    return render(
        request,
        "compare.html.jinja",
        live=live,
        columns=columns,
        left_out=len(asked) - len(runs),
        chart=progress_chart("Scores by epoch", [Series(run.run_name, scores(epochs[run.run_id])) for run in runs]),
        metrics=METRICS,
        number=number,
    )


routes = [Route("/compare", show)]
