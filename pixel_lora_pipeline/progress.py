"""What a person at the terminal sees while epochs land and are evaluated."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from rich.table import Table

from pixel_lora_pipeline.store import EpochRow, Store


@dataclass
class EpochProgress:
    """What was already said: checkpoints by their row's id."""

    landed: set[int] = field(default_factory=set)
    evaluated: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)


def follow_epochs(store: Store, progress: EpochProgress, run_name: str | None) -> Iterator[str]:
    """One line for everything that happened since the last call."""
    for refusal in store.refused_checkpoints.list():
        if refusal.id not in progress.refused:
            progress.refused.add(refusal.id)
            yield f"[red]Refused[/] {refusal.path}: {refusal.fault} {refusal.remedy}"
    for row in store.epochs.table(run_name):
        name = f"{row.run_name} epoch {row.epoch}" if row.epoch is not None else f"{row.run_name} step {row.step}"
        if row.epoch_id not in progress.landed:
            progress.landed.add(row.epoch_id)
            yield f"{name}: landed"
        if row.overall is not None and row.epoch_id not in progress.evaluated:
            progress.evaluated.add(row.epoch_id)
            yield f"{name}: [green]evaluated[/], " + ", ".join(
                f"{label} {value:.0f}" for label, value in _scores(row) if value is not None
            )


def summary_table(rows: Sequence[EpochRow]) -> Table:
    """Epochs with their scores (0–100) and the picture to look at."""
    table = Table(title="Evaluated epochs", title_justify="left")
    for heading in ("run", "epoch", "overall", "colour", "background", "hair", "style", "palette"):
        table.add_column(heading, justify="left" if heading == "run" else "right")
    table.add_column("contact sheet", overflow="fold")
    for row in rows:
        table.add_row(
            row.run_name,
            "–" if row.epoch is None else str(row.epoch),
            *("–" if value is None else f"{value:.1f}" for _, value in _scores(row)),
            row.contact_sheet or "–",
        )
    return table


def _scores(row: EpochRow) -> list[tuple[str, float | None]]:
    return [
        ("overall", row.overall),
        ("colour", row.color_accuracy),
        ("background", row.background_accuracy),
        ("hair", row.hair_accuracy),
        ("style", row.style),
        ("palette", row.color_palette_size),
    ]
