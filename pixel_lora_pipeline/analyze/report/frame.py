"""What every report's page has in common: its frame, its style, its policy, and how values are shown in it."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from pixel_lora_pipeline.analyze.report.document import printable

_PACKAGE: Final = "pixel_lora_pipeline.analyze.report"
# Upper ends of the shares (0-1) that the table of issues tells apart by shade.
_SHADES: Final = (0.0, 0.1, 0.3, 0.6, 1.0)


def render_page(
    template: str,
    document: Mapping[str, Any],
    *,
    json_name: str,
    package: str = _PACKAGE,
    styles: Sequence[str] = ("report.css",),
    **shown: Any,
) -> str:
    """A page: no script, nothing from outside, and a policy that allows no other style than its own.

    Parameters
    ----------
    template
        In the folder `templates` of a package; it extends "base.html.jinja" and finds its values in `report`, which
        has at least `created_at`.
    document
        Becomes `report`.
    json_name
        Of the file with the same figures.
    package
        Whose templates are looked at first.
    styles
        Files beside the templates, in the order in which they apply.
    shown
        Further names for the template.
    """
    environment = _environment(package)
    style = _style(package, tuple(styles))
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template(template).render(
        report=document, style=style, style_source=f"'sha256-{digest}'", json_name=json_name, **shown
    )


def probability(value: float) -> str:
    """In percent, and never certainty: it comes from a model and from finitely many draws."""
    percent = round(100 * value)
    return "> 99 %" if percent > 99 else "< 1 %" if percent < 1 else f"{percent} %"


@cache
def _environment(package: str) -> Environment:
    # On for every template, whatever it is called; a misspelt name is an error and not an empty place.
    environment = Environment(
        autoescape=True,
        loader=ChoiceLoader([PackageLoader(package), PackageLoader(_PACKAGE)]),
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(points=_points, signed=_signed, percent=_percent, probability=probability, shade=_shade)
    return environment


@cache
def _style(package: str, styles: tuple[str, ...]) -> Markup:
    environment = _environment(package)
    assert environment.loader is not None  # noqa: S101 - given above
    sources = [environment.loader.get_source(environment, name)[0] for name in styles]
    return Markup("\n".join(sources))  # noqa: S704 - files of this package


def _finalized(value: Any) -> Any:
    """What the templates show of a value: texts come from anywhere."""
    return printable(value) if type(value) is str else value


def _points(value: float | None, digits: int = 1) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _signed(value: float | None, digits: int = 1) -> str:
    if value is None:
        return "–"
    shown = f"{value:+.{digits}f}"
    return "0" if float(shown) == 0.0 else shown.replace("-", "−")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _shade(share: float | None) -> str:
    """Class of a cell in the table of issues."""
    if share is None:
        return "unseen"
    return f"s{next(number for number, end in enumerate(_SHADES) if share <= end)}"
