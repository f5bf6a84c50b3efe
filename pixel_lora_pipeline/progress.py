"""What a person at the terminal sees while epochs land and are evaluated."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from pixel_lora_pipeline.store import EpochRow, RowId, Store
from pixel_lora_pipeline.validate import BaseKind, Suite

# Heading → where the value stands in `epoch_results.quantitative_metrics`; all but the last are 0 to 100.
SCORES: Final[dict[str, tuple[str, ...]]] = {
    "overall": ("overall_score",),
    "colour": ("color_accuracy", "overall"),
    "background": ("color_accuracy", "background_accuracy"),
    "hair": ("color_accuracy", "hair_accuracy"),
    "style": ("style_quality", "overall"),
    "palette": ("style_quality", "color_palette_size"),
}


class EpochProgress:
    """What happened to epochs since this object was made or asked last."""

    def __init__(self, store: Store, suite: Suite, kind: BaseKind) -> None:
        self._store = store
        self._suite = suite
        self._kind = kind
        self._started = datetime.now(UTC)
        rows = store.epochs.recent()
        self._landed: set[RowId] = {row.epoch_id for row in rows}
        self.evaluated: set[RowId] = {row.epoch_id for row in rows if row.quantitative_metrics is not None}
        self._refused: set[tuple[str, str]] = set()
        self._told = {run_name: verdict["reason"] for run_name, verdict in store.conclusions.verdicts()}

    def news(self) -> Iterator[str]:
        """One line, with rich's markup, for each checkpoint that landed, was evaluated or refused, and each verdict."""
        for refusal in self._store.quarantine.list():
            if refusal.refused_at >= self._started and (refusal.path, refusal.signature) not in self._refused:
                self._refused.add((refusal.path, refusal.signature))
                yield f"[red]Refused[/] {escape(refusal.path)}: {escape(refusal.fault)} {escape(refusal.remedy)}"
        for row in self._store.epochs.recent():
            name = escape(f"{row.run_name} {_position(row)}")
            if row.epoch_id not in self._landed:
                self._landed.add(row.epoch_id)
                yield f"{name}: landed"
            if row.quantitative_metrics is not None and row.epoch_id not in self.evaluated:
                self.evaluated.add(row.epoch_id)
                scores = ", ".join(f"{heading} {_shown(row, path, digits=0)}" for heading, path in SCORES.items())
                yield f"{name}: [green]evaluated[/], {scores}"
        yield from self._verdicts()

    def painting(self) -> tuple[str, int, int] | None:
        """The epoch whose images are being generated, how many there are and how many there will be."""
        for row in reversed(self._store.epochs.recent()):
            if row.evaluation_status != "registered":
                continue
            done = len(self._store.images.known_fingerprints(row.epoch_id))
            if done:
                asked = self._suite.at_depth(self._store.depths.of(row.epoch_id)).requests(self._kind)
                return f"{row.run_name} {_position(row)}", done, len(asked)
        return None

    def _verdicts(self) -> Iterator[str]:
        """One line for each run of which a new verdict was stored."""
        for run_name, verdict in self._store.conclusions.verdicts():
            if self._told.get(run_name) != verdict["reason"]:
                self._told[run_name] = verdict["reason"]
                yield f"{escape(run_name)}: [bold]{verdict['status']}[/]. {escape(verdict['reason'])}"


# What tqdm writes for Kohya's trainers and for ours: `steps:  13%|█▎  | 50/384 [00:21<02:20, …`.
_TRAINING_STEPS: Final = re.compile(r"steps:[^\r\n]*?\| *(\d+)/(\d+) \[")
_LOG_TAIL_BYTES: Final = 4096


def training_steps(log: Path) -> tuple[int, int] | None:
    """How many steps a trainer has done, and of how many, by the end of its log; None if it does not say."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            tail = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    counts = _TRAINING_STEPS.findall(tail)
    return (int(counts[-1][0]), int(counts[-1][1])) if counts else None


def summary_table(rows: Sequence[EpochRow]) -> Table:
    """Epochs with their scores and the picture to look at."""
    table = Table("run", "epoch", *SCORES, title="Evaluated epochs", title_justify="left")
    table.add_column("contact sheet", overflow="fold")
    for row in rows:
        scores = [_shown(row, path, digits=1) for path in SCORES.values()]
        table.add_row(escape(row.run_name), _position(row), *scores, row.contact_sheet or "–")
    return table


def _position(row: EpochRow) -> str:
    return f"epoch {row.epoch}" if row.epoch is not None else f"step {row.step}"


def _shown(row: EpochRow, path: tuple[str, ...], digits: int) -> str:
    value: Any = row.quantitative_metrics
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return "–" if value is None else f"{value:.{digits}f}"
