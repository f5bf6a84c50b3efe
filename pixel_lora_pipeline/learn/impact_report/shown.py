"""How names, values and figures are written in a sentence."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

import pandas as pd

from pixel_lora_pipeline.train.errors import printable

_LONGEST_NAME: Final = 60
_LONGEST_VALUE: Final = 40
_MOST_LISTED: Final = 5
_SMALLEST_P: Final = 0.001
_SMALL: Final = 0.001  # learning rates are read by their exponent


def shown_name(name: Any) -> str:
    """The name of a parameter, a metric or a run on one line."""
    return printable(" ".join(str(name).split()), _LONGEST_NAME) or "(no name)"


def shown_value(value: Any) -> str:
    """A value as one would type it: 16 for 16.0, 5e-5, true."""
    return printable(" ".join(typed(value).split()), _LONGEST_VALUE) or "(empty)"


def typed(value: Any) -> str:
    """The value's whole text; the same for a number, whether it is a number or written as text."""
    if value is None or (pd.api.types.is_scalar(value) and not isinstance(value, str) and pd.isna(value)):
        return "not set"
    number = number_of(value)
    if number is not None:
        return _typed(number)
    text = str(value)
    return text.lower() if text in ("True", "False") else text


def number_of(value: Any) -> float | None:
    """A finite number, whether written as one or as text; None for everything else, booleans among it."""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def figure(value: float | None) -> str:
    """Three digits, or all before the point."""
    if value is None:
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = f"{value:,.0f}" if abs(value) >= 1000 else _typed(float(f"{value:.3g}"))
    return text.replace("-", "−", 1) if text.startswith("-") else text


def signed_figure(value: float | None) -> str:
    """With its sign."""
    text = figure(value)
    return f"+{text}" if value is not None and value > 0 and text != "0" else text


def p_value(name: str, value: float | None) -> str:
    """As "p = 0.012"."""
    if value is None:
        return f"{name} not known"
    return f"{name} < {_SMALLEST_P}" if value < _SMALLEST_P else f"{name} = {_typed(float(f'{value:.2g}'))}"


def percent(share: float) -> str:
    """Of a whole, in full percent."""
    return "under 1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def counted(count: int, noun: str) -> str:
    """As "1 run", "8 runs"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(parts: Iterable[str], last: str = "and", most: int | None = None) -> str:
    """As "a, b and c"; with a limit, as "a, b and 7 more"."""
    texts = list(parts)
    if most is not None and len(texts) > most:
        texts, last = [*texts[:most], f"{len(texts) - most} more"], "and"
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}" if texts else ""


def listed_values(values: Sequence[Any]) -> str:
    """Alternatives: "64 or 128"; many numbers as "16 to 128"."""
    if len(values) > _MOST_LISTED and all(number_of(value) is not None for value in values):
        return f"{shown_value(values[0])} to {shown_value(values[-1])}"
    if len(values) > _MOST_LISTED:
        return f"{', '.join(map(shown_value, values[: _MOST_LISTED - 1]))} or {len(values) - _MOST_LISTED + 1} others"
    return listed(map(shown_value, values), "or")


def joined(names: Iterable[Any]) -> str:
    """Parameters that nobody can tell apart: "network_alpha | network_dim"."""
    return " | ".join(map(shown_name, names))


def _typed(number: float) -> str:
    """16 for 16.0, 5e-5 for 5e-05."""
    text = f"{number:.9e}" if 0 < abs(number) < _SMALL else f"{number:.10g}"
    mantissa, e, exponent = text.partition("e")
    if not e:
        return text
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
