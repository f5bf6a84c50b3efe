"""How right and how fast the image metrics are: `python benchmarks/metrics.py [FOLDER]`.

One table for everything that has a figure to reach, with 95 % bootstrap intervals, and what other methods reach on the
same images. FOLDER holds labelled sprites at native size and a `labels.json`; it defaults to the environment variable
PIXEL_LORA_SPRITES and then to `../shared/samples/dicebear`. Without one, only the pictures that the project renders by
itself and the photographs that come with its libraries are measured. The exit status is 1 if a figure is not reached.
"""

import argparse
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from color_figures import color_rows
from rich.console import Console
from rich.table import Table
from style_figures import Row, style_rows

DEFAULT_FOLDER = Path(__file__).parents[2] / "shared" / "samples" / "dicebear"


def is_reached(row: Row, target: float | None) -> bool:
    if target is None:
        return True
    return row.value <= target if row.lower_is_better else row.value >= target


def verdict(row: Row) -> str:
    if row.must is None:
        return ""
    if not is_reached(row, row.must):
        return "[red]missed[/red]"
    return "stretch" if is_reached(row, row.stretch) else "must"


def figure_table(rows: Iterable[Row]) -> Table:
    table = Table("figure", "value", "95 % interval", "must / stretch", "reached", "n", "others", title="Image metrics")
    for row in rows:
        targets = "" if row.must is None else f"{row.must:g} / {row.stretch:g}"
        others = ", ".join(f"{name} {value:.3g}" for name, value in row.references.items())
        interval = f"{row.low:.3f}-{row.high:.3f}"
        table.add_row(row.name, f"{row.value:.3f}", interval, targets, verdict(row), str(row.n), others)
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="labelled sprites: PNG files and labels.json")
    parser.add_argument("--every", type=int, default=1, help="use only each n-th sprite")
    parser.add_argument("--painted", type=int, default=0, metavar="N", help="also N images that the model paints")
    parser.add_argument("--only", choices=("color", "style"), help="one half of the figures")
    arguments = parser.parse_args()
    console = Console(width=200)
    folder = arguments.folder or Path(os.environ.get("PIXEL_LORA_SPRITES", DEFAULT_FOLDER))
    if not (folder / "labels.json").is_file():
        if arguments.folder is not None:
            parser.error(f"{folder} has no labels.json. Name the folder of the labelled sprites.")
        console.print(f"There are no labelled sprites in {folder}: only what the project renders itself is measured.")
        folder = None
    rows: list[Row] = []
    if arguments.only != "style":
        rows += color_rows(folder, arguments.every, arguments.painted)
    if arguments.only != "color":
        rows += style_rows(folder, arguments.every)
    console.print(figure_table(rows))
    missed = [row.name for row in rows if not is_reached(row, row.must)]
    if missed:
        console.print(f"Not reached: {', '.join(missed)}.")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
