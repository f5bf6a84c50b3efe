"""What was counted of a run, as a report shows it."""

from collections.abc import Mapping
from typing import Any

from pixel_lora_pipeline.analyze.report import Cost
from pixel_lora_pipeline.store import RunRow, Store
from pixel_lora_pipeline.train.costs.duration import told_duration


def costs_of(store: Store, run: RunRow, epoch: int | None = None) -> list[Cost]:
    """The lines of "Cost so far"; with an epoch, as it stood when that was the last.

    What somebody has written into the run's row is shown where we have counted nothing.
    """
    counted = store.gpu_usage.counted(run.run_id)
    if counted is None:
        return _noted(run)
    lines = []
    epochs = counted.get("epochs", {})
    last = None if not epochs else max(epochs, key=int)
    if epoch is not None and str(epoch) in epochs and str(epoch) != last:
        so_far = epochs[str(epoch)]["so_far"]
        lines.append(Cost(f"Epochs up to {epoch}", so_far["text"], so_far["kind"] or ""))
    else:
        lines.append(_line("Training so far", counted["training"]))
    if epoch is not None and str(epoch) in epochs:
        lines.append(_line(f"Epoch {epoch}", epochs[str(epoch)]))
    for label, part in (("Evaluation", counted["evaluation"]), ("Storage", counted["storage"])):
        if part["seconds"] or part["bases"] or part["unknown"]:
            lines.append(_line(label, part))
    if run.cost_usd is not None and "cost_usd" not in counted.get("columns", {}):
        lines.append(Cost("Noted by hand", f"${run.cost_usd:.2f}"))
    return lines


def _line(label: str, part: Mapping[str, Any]) -> Cost:
    told = [
        told_duration(part["seconds"]) if part["seconds"] else "",
        f"on {part['gpu']}" if part["gpu"] else "",
        f"({part['kind']})" if part["kind"] else "",
    ]
    why = "; ".join([*part["bases"], *part["unknown"]])
    return Cost(label, part["text"], " ".join(each for each in told if each) + (f": {why}" if why else ""))


def _noted(run: RunRow) -> list[Cost]:
    lines = []
    if run.cost_usd is not None:
        lines.append(Cost("Training so far", f"${run.cost_usd:.2f}"))
    if run.gpu_seconds is not None:
        lines.append(Cost("GPU time", told_duration(run.gpu_seconds), run.gpu_type or ""))
    return lines
