"""The numbers of an overlay: scores, colours expected beside colours found, style, grid and palette."""

from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw

from pixel_lora_pipeline.validate.color_findings import ColorFinding, color_findings
from pixel_lora_pipeline.validate.lettering import FAINT, INK, PAPER, QUIET, fitted, lettering
from pixel_lora_pipeline.validate.measurement import ImageMeasurement

LEAST_WIDTH: Final = 512
"""Pixels that the table of colours needs."""

# Columns of the table: name, swatch expected, swatch found, ΔE, score.
_EXPECTED: Final = 110
_FOUND: Final = 220
_DISTANCE: Final = 356
_SCORE: Final = 410
_ROW: Final = 24
_SWATCH: Final = 16
_BAR: Final = 60
# The bar of a score: from here on good, below it fair, then poor. Bands of the 1-10 score: 7 and more, 5 to 7.
_GRADES: Final = ((70.0, "#2a9d63"), (50.0, "#d9a013"), (0.0, "#d1495b"))
_STYLES: Final = {
    "pixel_art_purity": "pixel-art purity",
    "edge_sharpness": "edge sharpness",
    "dithering_quality": "dithering",
    "photorealism_score": "photorealism",
}
# More is worse: no bar in the colours of good and bad.
_NOT_BETTER: Final = frozenset({"photorealism_score"})


def numbers_panel(measurement: ImageMeasurement, not_understood: Sequence[str], width: int) -> Image.Image:
    """Every number of a measurement, at least `LEAST_WIDTH` pixels wide.

    `not_understood` are words of the prompt that could not be read as a colour or region.
    """
    panel = Image.new("RGB", (width, 2000), PAPER)
    writer = _Writer(ImageDraw.Draw(panel), width)
    _write_headline(writer, measurement)
    _write_colors(writer, color_findings(measurement), not_understood)
    _write_style(writer, measurement)
    _write_palette(writer, measurement)
    return panel.crop((0, 0, width, writer.top))


class _Writer:
    """Where the next line goes."""

    def __init__(self, pen: ImageDraw.ImageDraw, width: int) -> None:
        self.pen = pen
        self.width = width
        self.top = 0

    def text(self, left: int, text: str, color: str = INK, size: int = 12, bold: bool = False) -> None:
        """One line, cut at the right end of the panel."""
        font = lettering(size, bold=bold)
        self.pen.text((left, self.top), fitted(text, self.width - left, font), fill=color, font=font)

    def heading(self, text: str) -> None:
        """A title with a rule above it."""
        self.top += 10
        self.pen.line((0, self.top, self.width, self.top), fill=FAINT)
        self.top += 8
        self.text(0, text, size=14, bold=True)
        self.top += _ROW

    def swatch(self, left: int, color: str, text: str) -> None:
        """A square of the colour with its hex code."""
        self.pen.rectangle((left, self.top, left + _SWATCH - 1, self.top + _SWATCH - 1), fill=color, outline=QUIET)
        self.text(left + _SWATCH + 6, text)

    def score(self, left: int, value: float, graded: bool = True) -> None:
        """A number of 0-100 with its bar."""
        self.text(left, f"{value:.0f}")
        begin, end = left + 34, left + 34 + _BAR
        color = next(color for least, color in _GRADES if value >= least) if graded else QUIET
        self.pen.rectangle((begin, self.top + 4, end, self.top + 11), fill=FAINT)
        if value > 0.0:
            self.pen.rectangle((begin, self.top + 4, begin + round(_BAR * value / 100.0), self.top + 11), fill=color)


def _write_headline(writer: _Writer, measurement: ImageMeasurement) -> None:
    scores = {
        "overall": measurement.overall_score,
        "colour": measurement.color_accuracy["overall_color_accuracy"],
        "style": measurement.style_quality["overall_style_score"],
    }
    for at, (name, value) in enumerate(scores.items()):
        left = at * 120
        font = lettering(30, bold=True)
        shown = "?" if value is None else f"{value:.0f}"
        writer.pen.text((left, writer.top), shown, fill=INK, font=font)
        writer.pen.text((left + font.getlength(shown) + 6, writer.top + 15), name, fill=QUIET, font=lettering(12))
    version = f"metrics {measurement.version}"
    font = lettering(12)
    writer.pen.text((writer.width - font.getlength(version), writer.top + 15), version, fill=QUIET, font=font)
    writer.top += 38


def _write_colors(writer: _Writer, findings: Sequence[ColorFinding], not_understood: Sequence[str]) -> None:
    writer.heading("Colours")
    if findings:
        for left, title in ((_EXPECTED, "expected"), (_FOUND, "found"), (_DISTANCE, "ΔE00"), (_SCORE, "score")):
            writer.text(left, title, QUIET)
        writer.top += _ROW - 4
    for finding in findings:
        _write_finding(writer, finding)
    if not findings:
        writer.text(0, "The prompt names none, and none was told.", QUIET)
        writer.top += _ROW
    if not_understood:
        writer.text(0, f"not understood: {'; '.join(not_understood)}", QUIET)
        writer.top += _ROW


def _write_finding(writer: _Writer, finding: ColorFinding) -> None:
    writer.text(0, finding.name)
    if finding.expected is None:
        writer.text(_EXPECTED, "–", QUIET)
    else:
        writer.swatch(_EXPECTED, finding.expected, finding.expected)
    if finding.delta_e is not None:
        writer.text(_DISTANCE, f"{finding.delta_e:.1f}")
    if finding.score is not None:
        writer.score(_SCORE, finding.score)
    elif finding.is_named:
        writer.text(_SCORE, "cannot tell", QUIET)
    if not finding.found:
        writer.text(_FOUND, "–" if finding.score else "nothing", QUIET)  # a score rests on cells of no one colour
    for at, (color, share) in enumerate(finding.found):
        writer.top += _ROW - 4 if at else 0
        of_all = f"  {100.0 * share:.0f} %" if share is not None and len(finding.found) > 1 else ""
        writer.swatch(_FOUND, color, color + of_all)
    writer.top += _ROW
    if finding.is_named and finding.reason is not None:
        writer.top -= 4
        writer.text(_EXPECTED, finding.reason, QUIET, 11)
        writer.top += _ROW - 4


def _write_style(writer: _Writer, measurement: ImageMeasurement) -> None:
    writer.heading("Style")
    style = measurement.style_quality
    facts = [
        f"{style['color_palette_size']} colours",
        "photorealistic" if style["is_photorealistic"] else "not photorealistic",
    ]
    if measurement.color_accuracy["hair_is_two_toned"]:
        facts.append("two-toned hair")
    if style.get("palette_drift") is not None:
        facts.append(f"ΔE00 {style['palette_drift']:.1f} from the training palette")
    facts += _grid_facts(measurement)
    purity = measurement.color_accuracy["color_purity_score"]
    rows = [("solid colours", purity, True)]
    rows += [(title, style[name], name not in _NOT_BETTER) for name, title in _STYLES.items()]
    begin = writer.top
    for title, value, graded in rows:
        writer.text(0, title)
        if value is None:
            writer.text(_EXPECTED + 20, "cannot tell", QUIET)
        else:
            writer.score(_EXPECTED + 20, value, graded)
        writer.top += _ROW - 3
    end, writer.top = writer.top, begin
    for fact in facts:
        writer.text(_FOUND + 60, fact)
        writer.top += _ROW - 3
    writer.top = max(end, writer.top)


def _grid_facts(measurement: ImageMeasurement) -> list[str]:
    grid = measurement.grid
    rows, columns = measurement.evidence["native_size"]
    if grid.pixel_size is None or grid.phase is None:
        return [f"no pixel grid (coherence {grid.coherence:.2f})", f"measured as {columns} × {rows} blocks"]
    width, height = grid.cell or (grid.pixel_size, grid.pixel_size)
    cell = f"{width:.2f}" if width == height else f"{width:.2f} × {height:.2f}"
    facts = [
        f"{columns} × {rows} cells of {cell} px",
        f"first line at {grid.phase[0]:.1f}, {grid.phase[1]:.1f}",
        f"coherence {grid.coherence:.2f}",
    ]
    if grid.off_grid_error is not None:
        facts.append(f"off the grid by {grid.off_grid_error:.2f} px")
    if grid.lines is not None:
        facts.append("cells drift")
    return facts


def _write_palette(writer: _Writer, measurement: ImageMeasurement) -> None:
    """The commonest colours side by side, each as wide as its share, yet never too narrow to be seen."""
    palette = measurement.evidence["palette"]
    if not palette:
        return
    writer.heading("Palette")
    least, rest = 8, writer.width - 8 * len(palette)
    total = sum(entry["share"] for entry in palette)
    left = 0.0
    for entry in palette:
        right = left + least + rest * entry["share"] / total
        writer.pen.rectangle((round(left), writer.top, round(right) - 1, writer.top + 20), fill=entry["hex"])
        left = right
    writer.pen.rectangle((0, writer.top, writer.width - 1, writer.top + 20), outline=QUIET)
    writer.top += 22
