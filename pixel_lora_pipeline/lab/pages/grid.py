"""Prompts by epochs: the same question in every column, an epoch a row, what they are compared with above."""

from collections import Counter
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pixel_lora_pipeline.lab.page import render, store_of
from pixel_lora_pipeline.lab.pages.run import found_run
from pixel_lora_pipeline.lab.verdict import shown_verdict
from pixel_lora_pipeline.run_evaluations import BASELINE, WITHOUT_LORA
from pixel_lora_pipeline.store import RowId, RunSummary, ShownImage, Store

Question = tuple[str, str, str, int]


def show(request: Request) -> Response:
    """The page."""
    live = store_of(request).lab_events.cursor()
    run = found_run(request)
    return render(request, "grid.html.jinja", live=live, run=run, verdict=shown_verdict(run))


def cells(request: Request) -> Response:
    """What the grid shows, as JSON: see `grid_document`."""
    document = grid_document(store_of(request), found_run(request))
    return JSONResponse(document, headers={"Cache-Control": "no-store"})


def grid_document(store: Store, run: RunSummary) -> dict[str, Any]:
    """Columns, rows, and the images in them.

    Returns
    -------
    `columns` with `prompt_id`, `prompt` and `seed`; `rows` with `label`, `kind` ("without", "baseline" or "epoch"),
    `epoch`, `scores` by the id of prompts and `cells`, one a column: null, or the id of the image, the hash of its
    file, and that of its copy on its own grid if there is one.
    """
    epochs = [epoch for epoch in store.overview.epochs(run.run_id) if epoch.metrics is not None]
    ids = [epoch.epoch_id for epoch in epochs]
    images = store.overview.images(ids)
    baseline = store.baselines.current()
    by_row: dict[RowId, dict[Question, ShownImage]] = {}
    for image in images:
        if image.epoch_id is not None:
            by_row.setdefault(image.epoch_id, {})[_question(image)] = image
    asked = Counter(question for row in by_row.values() for question in row)
    # What was asked of every epoch first, so that a quick look's one prompt is not lost among empty places.
    of_prompt = Counter(prompt_id for prompt_id, *_ in asked.elements())
    questions = sorted(asked, key=lambda question: (-of_prompt[question[0]], question))
    scores = store.overview.prompt_scores(ids)

    rows: list[dict[str, Any]] = []
    if ids:
        bare = {_question(image): image for image in store.overview.images_without_lora(ids[-1])}
        rows.append(_row(WITHOUT_LORA, "without", None, bare, questions, {}))
    if baseline is not None:
        painted = {_question(image): image for image in store.overview.images([baseline.epoch_id])}
        known = store.overview.prompt_scores([baseline.epoch_id])
        label = f"{BASELINE}: {baseline.name}"
        rows.append(_row(label, "baseline", None, painted, questions, known.get(baseline.epoch_id, {})))
    rows += [
        _row(
            f"epoch {epoch.epoch}",
            "epoch",
            epoch.epoch,
            by_row.get(epoch.epoch_id, {}),
            questions,
            scores.get(epoch.epoch_id, {}),
        )
        for epoch in epochs
    ]
    return {
        "columns": [
            {"prompt_id": prompt_id, "prompt": prompt, "negative_prompt": negative, "seed": seed}
            for prompt_id, prompt, negative, seed in questions
        ],
        "rows": [row for row in rows if any(row["cells"])],
        "best": (run.convergence or {}).get("best_epoch"),
    }


def _question(image: ShownImage) -> Question:
    return image.prompt_id, image.prompt, image.negative_prompt, image.seed


def _row(
    label: str,
    kind: str,
    epoch: int | None,
    images: dict[Question, ShownImage],
    questions: list[Question],
    scores: dict[str, float],
) -> dict[str, Any]:
    return {
        "label": label,
        "kind": kind,
        "epoch": epoch,
        "scores": scores,
        "cells": [_cell(images.get(question)) for question in questions],
    }


def _cell(image: ShownImage | None) -> list[Any] | None:
    if image is None:
        return None
    copy = [image.snapped_sha256] if image.snapped_sha256 else []
    return [str(image.image_id), image.sha256, *copy]


routes = [Route("/runs/{run_id}/grid", show), Route("/api/runs/{run_id}/grid", cells)]
