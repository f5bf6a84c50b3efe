"""The trade-off between what runs achieve and what they take, as a picture."""

import io
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pixel_lora_pipeline.improve.pareto import Goal, ParetoFront

_INK: Final = "#22262b"
_FAINT: Final = "#8a929c"
_ACCENT: Final = "#1f6feb"
_PANEL: Final = (4.6, 3.6)  # inches
_DOTS_PER_INCH: Final = 80


def pareto_picture(front: ParetoFront, goals: list[Goal]) -> bytes:
    """PNG with the first goal over each of the others: the front filled, other runs hollow, the choices named."""
    first, others = goals[0], goals[1:]
    figure = Figure(figsize=(_PANEL[0] * len(others), _PANEL[1]), layout="constrained")
    for axes, other in zip(figure.subplots(1, len(others), squeeze=False)[0], others, strict=True):
        _panel(axes, front, first, other)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=_DOTS_PER_INCH, metadata={"Software": None})
    return picture.getvalue()


def _panel(axes: Axes, front: ParetoFront, first: Goal, other: Goal) -> None:
    beaten, best = (front.table[front.table["on_front"] == on_front] for on_front in (False, True))
    axes.plot(beaten[other.column], beaten[first.column], "o", color=_FAINT, markerfacecolor="none")
    axes.plot(best[other.column], best[first.column], "D", color=_ACCENT)
    for choice in front.choices:
        axes.annotate(
            f"{choice.name}\n{choice.run_name}",
            (choice.values[other.column], choice.values[first.column]),
            xytext=(6, -4),
            textcoords="offset points",
            fontsize=8,
            color=_INK,
            verticalalignment="top",
        )
    axes.margins(0.18)
    axes.set_xlabel(f"{other.column} ({other.better} is better)")
    axes.set_ylabel(f"{first.column} ({first.better} is better)")
    axes.spines[["top", "right"]].set_visible(False)
