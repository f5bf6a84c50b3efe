"""Matplotlib's figures as SVG that may stand in a page with a strict policy, in the colours of that page."""

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Final
from xml.etree import ElementTree

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

_SVG: Final = "http://www.w3.org/2000/svg"
_XLINK: Final = "http://www.w3.org/1999/xlink"
# What a figure is drawn with, and the custom property of the page that takes its place: charts follow the page from
# light to dark, and to paper. The values are those of light, for whoever looks at the figure alone.
INK: Final = "#1f2430"
FAINT: Final = "#747b88"
LINE: Final = "#d9dce2"
ACCENT: Final = "#3355c8"
GOOD: Final = "#1b7f4b"
_PROPERTIES: Final = {INK: "--ink", FAINT: "--faint", LINE: "--line", ACCENT: "--accent", GOOD: "--good"}
# Attributes of elements that mean the same as in a style; the policy forbids styles of elements, not these.
_PRESENTATION: Final = frozenset(
    {
        "fill",
        "fill-opacity",
        "font-size",
        "font-weight",
        "opacity",
        "stroke",
        "stroke-dasharray",
        "stroke-dashoffset",
        "stroke-linecap",
        "stroke-linejoin",
        "stroke-miterlimit",
        "stroke-opacity",
        "stroke-width",
        "text-anchor",
    }
)
_RC: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
    "text.parse_math": False,  # labels are names from files, in which a dollar is a dollar
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": FAINT,
    "axes.titlecolor": INK,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
}


def chart_style() -> AbstractContextManager[None]:
    """The context in which figures for `inline_svg` are drawn."""
    return mpl.rc_context(_RC)


def inline_svg(figure: Figure, name: str, description: str) -> Markup:
    """A figure as an `svg` element without style, script or link, the same bytes for the same figure.

    Parameters
    ----------
    name
        Unique in the page: keeps apart what the figures of a page refer to.
    description
        What the figure shows, for those who cannot see it.
    """
    buffer = io.BytesIO()
    with mpl.rc_context({**_RC, "svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(buffer.getvalue())  # noqa: S314 - written a line above
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    referred = set(_references(root))
    for element in root.iter():
        _use_attributes(element)
        if element.get("id") not in referred:
            element.attrib.pop("id", None)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-label", description)
    root.set("class", "chart")
    root.set("stroke-linejoin", "round")
    ElementTree.register_namespace("", _SVG)
    ElementTree.register_namespace("xlink", _XLINK)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704 - escaped by ElementTree


def _references(root: ElementTree.Element) -> Iterator[str]:
    for element in root.iter():
        for attribute, value in element.attrib.items():
            if attribute == f"{{{_XLINK}}}href":
                yield value.removeprefix("#")
            elif value.startswith("url(#"):
                yield value[5:].rstrip(")")


def _use_attributes(element: ElementTree.Element) -> None:
    """Turn the style of an element into attributes, and colours into the page's."""
    for declaration in element.attrib.pop("style", "").split(";"):
        name, _, value = (part.strip() for part in declaration.partition(":"))
        if name == "font":  # "bold 11px 'DejaVu Sans', …": the family is the page's
            for part in value.split(",")[0].split():
                if part.endswith("px"):
                    element.set("font-size", part)
                elif part == "bold" or part.isdigit():
                    element.set("font-weight", part)
        elif name in _PRESENTATION:
            element.set(name, value)
    for name in ("fill", "stroke"):
        color = _PROPERTIES.get(element.get(name, ""))
        if color is not None:
            element.set(name, f"var({color})")
    if element.tag == f"{{{_SVG}}}text" and "fill" not in element.attrib:
        element.set("fill", "var(--ink)")
