"""What `pixel-lora measure` does with one image file, and how it is shown in a terminal."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from pixel_lora_pipeline.validate import ImageMeasurement, measure_image, parse_expectation
from pixel_lora_pipeline.validate.color_findings import SCORE_KEYS, ColorFinding, color_findings
from pixel_lora_pipeline.validate.image_reading import ImageFileError, read_image
from pixel_lora_pipeline.validate.overlay import overlay
from pixel_lora_pipeline.validate.semantic import NOT_CONFIGURED, SemanticScorer
from pixel_lora_pipeline.whole_file import write_whole

_OVERLAY_ENDING = "-overlay.png"
# Scores that there are only where the prompt names the thing.
_NAMED_BY = {**SCORE_KEYS, "accessories": "accessory_accuracy"}
# Scores that compare with the colours of a training's images, where they are given.
_OF_TRAINING = {"palette_drift", "off_palette"}


@dataclass(frozen=True)
class MeasuredFile:
    """An image file with all that was measured on it.

    Attributes
    ----------
    overlay
        Where the picture that explains the measurement lies.
    semantic
        The text-image score, or why there is none.
    not_understood
        Words of the prompt that could not be read as a colour or region.
    """

    path: Path
    overlay: Path
    measurement: ImageMeasurement
    semantic: Mapping[str, Any]
    not_understood: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The measurement as the database stores it, with the files it is about."""
        return {
            "image": str(self.path),
            "overlay": str(self.overlay),
            **self.measurement.to_dict(),
            "semantic": dict(self.semantic),
            "not_understood": self.not_understood,
        }


def measure_file(
    path: Path,
    prompt: str,
    target: Path | None,
    scorer: SemanticScorer | None,
    training_palette: NDArray[np.uint8] | None = None,
) -> MeasuredFile:
    """Measure an image against its prompt and write the overlay beside it, or to `target` (a file or folder).

    Raises
    ------
    ImageFileError
        If the file is no image, or the overlay cannot be written.
    SemanticModelError
        If a CLIP model is configured and cannot be used.
    """
    image, expectation = read_image(path), parse_expectation(prompt)
    measurement = measure_image(image, expectation, training_palette)
    semantic = NOT_CONFIGURED if scorer is None else scorer.measure(image, prompt)
    beside = path.with_name(f"{path.stem}{_OVERLAY_ENDING}")
    written = beside if target is None else target / beside.name if target.is_dir() else target
    try:
        write_whole(written, overlay(image, measurement, expectation))
    except OSError as error:
        raise ImageFileError(f"{written} cannot be written: {error.strerror}. Name another --overlay.") from error
    return MeasuredFile(path, written, measurement, semantic, expectation.unknown)


def shown(file: MeasuredFile) -> RenderableType:
    """Two tables: colours expected beside colours found, and every score."""
    colors = Table("colour", "expected", "found", "ΔE00", "score", title=str(file.path), title_justify="left")
    for finding in color_findings(file.measurement):
        colors.add_row(*_row(finding))
    scores = Table("measure", "value")
    for name, value in _scores(file):
        scores.add_row(name, value)
    lines: list[RenderableType] = [colors, scores]
    if file.not_understood:
        lines.append(Text(f"Not understood in the prompt: {'; '.join(file.not_understood)}", style="yellow"))
    return Group(*lines, Text(f"Overlay: {file.overlay}"))


def _row(finding: ColorFinding) -> tuple[RenderableType, ...]:
    expected = _swatch(finding.expected) if finding.expected else Text("any colour" if finding.is_named else "–")
    found = Text("\n").join(
        _swatch(color, "" if share is None or len(finding.found) == 1 else f" {share:.0%}")
        for color, share in finding.found
    )
    distance = Text("" if finding.delta_e is None else f"{finding.delta_e:.1f}")
    if finding.score is not None:
        score = Text(f"{finding.score:.1f}")
    else:
        score = Text(f"cannot tell: {finding.reason}" if finding.is_named else "not named", style="dim")
    return finding.name, expected, found or Text("–" if finding.score else "nothing"), distance, score


def _swatch(color: str, more: str = "") -> Text:
    return Text.assemble(("██", color), f" {color}{more}")


def _scores(file: MeasuredFile) -> list[tuple[str, str]]:
    measurement, grid = file.measurement, file.measurement.grid
    named = {_NAMED_BY[name] for name in measurement.evidence["expected"]}
    not_named = set(_NAMED_BY.values()) - named
    rows = [("overall_score", _value(measurement.overall_score))]
    for group in (measurement.color_accuracy, measurement.style_quality):
        rows += [
            (name, "not named" if name in not_named else _value(value))
            for name, value in group.items()
            if name not in _OF_TRAINING or value is not None
        ]
    if grid.pixel_size is None:
        rows.append(("grid", f"none (coherence {grid.coherence:.2f})"))
    else:
        rows.append(("grid", f"cells of {grid.pixel_size:.2f} px, coherence {grid.coherence:.2f}"))
    semantic = file.semantic["semantic_score"]
    rows.append(("semantic_score", file.semantic["reason"] if semantic is None else f"{semantic:.3f}"))
    return rows


def _value(value: Any) -> str:
    if value is None:
        return "cannot tell"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.1f}" if isinstance(value, float) else str(value)
