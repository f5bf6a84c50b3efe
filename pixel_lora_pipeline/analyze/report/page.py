"""The reports as pages: one file each, with no script and nothing from outside."""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from pixel_lora_pipeline.analyze.report.cells import Cells, native_cells, outline, png_of_cells
from pixel_lora_pipeline.analyze.report.charts import Course, metric_charts, progress_chart
from pixel_lora_pipeline.analyze.report.content import EpochContent, ReportImage, RunContent
from pixel_lora_pipeline.analyze.report.document import epoch_document, main_score, run_document
from pixel_lora_pipeline.analyze.report.frame import render_page
from pixel_lora_pipeline.analyze.report.side_by_side import SideBySide, one_seed_each, side_by_side

MOST_BYTES: Final = 15_000_000
"""Of a page: what mail servers still let through, and browsers open at once."""

# Shown below the progress chart, in this order.
_CHARTED: Final = ("Colour accuracy", "Background", "Hair colour", "Accessories", "Style quality", "Pixel-art purity")


@dataclass(frozen=True)
class Report:
    """A page and the same figures as JSON."""

    html: str
    document: dict[str, Any]

    @property
    def json(self) -> str:
        """The document's text."""
        return json.dumps(self.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def epoch_report(content: EpochContent, *, most_bytes: int = MOST_BYTES) -> Report:
    """The report of an epoch.

    If the page would be too large, it shows one seed of each prompt, then fewer prompts, and says so; the figures
    are always those of all images.

    Raises
    ------
    ValueError
        If there is no epoch to report on.
    """
    if not content.epochs or content.epochs[-1].epoch != content.epoch:
        raise ValueError(f"a report on epoch {content.epoch} needs the run's epochs up to it, and it as the last.")
    rows = side_by_side(content)
    document = epoch_document(content, rows)
    shown: Sequence[SideBySide] = rows
    while True:
        first, more = one_seed_each(shown)
        html = _page(
            "epoch.html.jinja",
            document,
            cards=[_card(row) for row in first],
            more_cards=[_card(row) for row in more],
            n_shown=len(shown),
        )
        if len(html.encode()) <= most_bytes or not shown:
            return Report(html, document)
        shown = first if more else first[: len(first) // 2]


def run_report(content: RunContent) -> Report:
    """The report of a run.

    Raises
    ------
    ValueError
        If the run has no evaluated epoch.
    """
    if not content.epochs:
        raise ValueError("a run without an evaluated epoch has no report: evaluate one of its checkpoints first.")
    document = run_document(content)
    grid = None if content.grid is None else _uri(content.grid)
    return Report(_page("run.html.jinja", document, grid=grid), document)


def _page(template: str, document: Mapping[str, Any], **shown: Any) -> str:
    return render_page(
        template,
        document,
        json_name=f"{page_stem(document)}.json",
        forest_reach=_forest_reach,
        progress=_progress_chart(document),
        metrics=_metric_charts(document),
        **shown,
    )


def page_stem(document: Mapping[str, Any]) -> str:
    """Name of a report's files, without ending."""
    return f"epoch_{document['epoch']}_report" if document["kind"] == "epoch" else "run_report"


def _progress_chart(document: Mapping[str, Any]) -> Markup:
    verdict, rows = document["verdict"], document["progress"]
    measured = [row for row in rows if row["figures"] is not None]
    fitted = [row for row in rows if row["fitted"] is not None]
    baseline = document["comparisons"]["baseline"]
    return progress_chart(
        Course(
            scores={row["epoch"]: row["score"] for row in measured if row["score"] is not None},
            intervals={row["epoch"]: tuple(row["interval"]) for row in measured if row["interval"]},
            fitted={row["epoch"]: row["fitted"] for row in fitted},
            fitted_intervals={row["epoch"]: tuple(row["fitted_interval"]) for row in fitted},
            best_epoch=verdict["best_epoch"],
            best_epoch_interval=verdict["best_epoch_interval"] and tuple(verdict["best_epoch_interval"]),
            baseline=baseline["differences"][0]["baseline"] if baseline else None,
            planned_epochs=document["planned_epochs"],
            is_over=verdict["tone"] == "stop",
        )
    )


def _metric_charts(document: Mapping[str, Any]) -> Markup | None:
    measured = [row for row in document["progress"] if row["figures"] is not None]
    courses = {
        label: {row["epoch"]: row["figures"][label] for row in measured if row["figures"][label] is not None}
        for label in _CHARTED
    }
    told = {label: course for label, course in courses.items() if course}
    return metric_charts(told, document["verdict"]["best_epoch"]) if told and len(measured) > 1 else None


def _card(row: SideBySide) -> dict[str, Any]:
    """One prompt and seed as the template shows it."""
    change = row.change
    return {
        "row": row,
        "tiles": [_tile(label, image) for label, image in [*row.others, ("this epoch", row.image)]],
        "change": None
        if change is None
        else {
            **row.to_dict(),
            "share": change.share,
            "before": _uri(png_of_cells(change.before)),
            "after": _uri(png_of_cells(change.after)),
            "rows": change.changed.shape[0],
            "columns": change.changed.shape[1],
            "outline": outline(change.changed),
        },
    }


def _tile(label: str, image: ReportImage) -> dict[str, Any]:
    cells: Cells = native_cells(image.png)
    return {
        "label": label,
        "uri": _uri(png_of_cells(cells)),
        "rows": cells.shape[0],
        "columns": cells.shape[1],
        "score": main_score(image),
        "fault": image.fault,
    }


def _forest_reach(differences: Sequence[Mapping[str, Any]]) -> float:
    """The difference at the edge of the interval plots: all points are inside, the widest intervals are cut off."""
    points = [abs(float(difference["difference"])) for difference in differences]
    ends = [abs(float(end)) for difference in differences for end in difference["interval"] or ()]
    return max(1.0, 1.25 * max(points), 0.4 * max(ends, default=0.0))


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
