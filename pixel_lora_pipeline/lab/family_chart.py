"""The family of a run as boxes and lines in whole units, which a template draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pixel_lora_pipeline.lineage import Relative, how_known

# Long names are cut in the box and whole in its title.
_LONGEST_NAME: Final = 22
_MOST_ANCESTORS: Final = 3
_MOST_DESCENDANTS: Final = 12
_WIDTH, _HEIGHT = 190, 44
_ACROSS, _DOWN = 230, 56


@dataclass(frozen=True)
class Box:
    """A run: where its box begins, what stands in it, and what is told of it besides.

    Attributes
    ----------
    line
        From the parent's box to this one, as points of a polyline; empty for the oldest.
    from_epoch
        Beside that line.
    is_guess
        Whether the parent is not certain.
    """

    run_id: Any
    is_own: bool
    x: int
    y: int
    name: str
    detail: str
    title: str
    line: str
    from_epoch: str
    is_guess: bool


@dataclass(frozen=True)
class FamilyChart:
    """What a template draws; `left_out` is how many relatives there is no room for."""

    boxes: Sequence[Box]
    width: int
    height: int
    box_width: int
    box_height: int
    left_out: int


def family_chart(family: Sequence[Relative]) -> FamilyChart | None:
    """A chart of a family in the order of `lineage.family`, from left to right; None for a run without relatives."""
    if len(family) < 2:
        return None
    older = [relative for relative in family if relative.generation < 0][-_MOST_ANCESTORS:]
    younger = [relative for relative in family if relative.generation > 0][:_MOST_DESCENDANTS]
    own = [relative for relative in family if relative.generation == 0]
    shown = [*older, *own, *younger]
    first = shown[0].generation
    places: dict[Any, tuple[int, int]] = {}
    boxes: list[Box] = []
    row = 0
    for relative in shown:
        # A first child stands beside its parent, each further one below all that came before.
        parent = places.get(relative.origin.parent_run_id)
        if boxes and (parent is None or boxes[-1].run_id != relative.origin.parent_run_id):
            row += 1
        x, y = (relative.generation - first) * _ACROSS, row * _DOWN
        places[relative.origin.run_id] = x, y
        boxes.append(_box(relative, x, y, parent))
    return FamilyChart(
        boxes=boxes,
        width=max(box.x for box in boxes) + _WIDTH,
        height=max(box.y for box in boxes) + _HEIGHT,
        box_width=_WIDTH,
        box_height=_HEIGHT,
        left_out=len(family) - len(shown),
    )


def _box(relative: Relative, x: int, y: int, parent: tuple[int, int] | None) -> Box:
    origin = relative.origin
    best = "no verdict yet" if relative.best_epoch is None else f"best epoch {relative.best_epoch}"
    score = "" if relative.best_score is None else f": {relative.best_score:.1f}"
    came = "" if origin.parent_name is None else f"; from {origin.parent_name} ({how_known(origin)})"
    line = ""
    if parent is not None:
        start, middle, turn = parent[0] + _WIDTH, y + _HEIGHT // 2, x - (_ACROSS - _WIDTH) // 2
        line = f"{start},{parent[1] + _HEIGHT // 2} {turn},{parent[1] + _HEIGHT // 2} {turn},{middle} {x},{middle}"
    return Box(
        run_id=origin.run_id,
        is_own=relative.generation == 0,
        x=x,
        y=y,
        name=origin.run_name if len(origin.run_name) <= _LONGEST_NAME else origin.run_name[: _LONGEST_NAME - 1] + "…",
        detail=best + score,
        title=f"{origin.run_name}: {best}{score}{came}",
        line=line,
        from_epoch="" if origin.parent_epoch is None else str(origin.parent_epoch),
        is_guess=origin.confidence in ("likely", "guessed"),
    )
