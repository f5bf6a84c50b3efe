"""The images of an epoch beside those of the baseline and of the base model, prompt by prompt and seed by seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pixel_lora_pipeline.analyze.report.cells import CellChange, cell_change
from pixel_lora_pipeline.analyze.report.content import EpochContent, ReportImage
from pixel_lora_pipeline.analyze.tested_image import question


@dataclass(frozen=True, eq=False)
class SideBySide:
    """One prompt and seed.

    Attributes
    ----------
    others
        The contestants that have the image too, in the order base model, baseline.
    against
        Name of the one that `change` is measured against: the baseline, else the base model.
    change
        From that one to the epoch; None where there is none, or where the two have no grid in common.
    """

    image: ReportImage
    others: tuple[tuple[str, ReportImage], ...]
    against: str | None
    change: CellChange | None

    def to_dict(self) -> dict[str, Any]:
        """How far the image is from the one that it is compared with."""
        change = self.change
        return {
            "against": self.against,
            "changed_cells": None if change is None else int(change.changed.sum()),
            "cells": None if change is None else change.changed.size,
            "new_colors": None if change is None else change.new_colors,
            "lost_colors": None if change is None else change.lost_colors,
        }


def side_by_side(content: EpochContent) -> list[SideBySide]:
    """Every image of an epoch with those of the same question, sorted by prompt and seed.

    Images that show nothing (black, flat) are among them: that is what one should see.
    """
    contestants = [other for other in (content.without_lora, content.baseline) if other is not None]
    known = [(other.label, {question(image): image for image in other.images}) for other in contestants]
    rows = []
    for image in sorted(content.images, key=lambda image: (image.prompt_id, image.seed)):
        others = tuple((label, images[question(image)]) for label, images in known if question(image) in images)
        rows.append(_row(image, others))
    return rows


def one_seed_each(rows: Sequence[SideBySide]) -> tuple[list[SideBySide], list[SideBySide]]:
    """The first seed of every prompt, and the others."""
    first: dict[str, SideBySide] = {}
    for row in rows:
        first.setdefault(row.image.prompt, row)
    chosen = list(first.values())
    return chosen, [row for row in rows if row not in chosen]


def _row(image: ReportImage, others: tuple[tuple[str, ReportImage], ...]) -> SideBySide:
    if not others:
        return SideBySide(image, others, None, None)
    label, reference = others[-1]
    return SideBySide(image, others, label, cell_change(reference.png, image.png))
