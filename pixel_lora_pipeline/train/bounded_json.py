"""JSON from files that nobody vouches for: no depth bombs, no NaN, nothing that a database would refuse."""

import json
import math
import re
from typing import NoReturn, TypeAlias

JSONValue: TypeAlias = "bool | int | float | str | list[JSONValue] | dict[str, JSONValue] | None"

MAX_DEPTH = 32
MAX_TEXT = 2_000  # characters of one text value; captions and comments are shorter, thumbnails are not

# Control characters except tab and line feed, lone surrogates (which UTF-8 cannot hold; PostgreSQL takes no
# NUL either), and the marks with which text can be made to read backwards.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]",
)


class TooDeepError(ValueError):
    """JSON nested deeper than any trainer writes."""


def parse_json(text: str) -> JSONValue:
    """The value of a JSON text, safe to store.

    Raises
    ------
    TooDeepError
        If it is nested more than `MAX_DEPTH` levels deep.
    ValueError
        If it is no JSON, or holds NaN, infinity or a number beyond 64 bits.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise TooDeepError(f"nested more than {MAX_DEPTH} levels deep") from None
    except json.JSONDecodeError:
        raise ValueError("no JSON") from None
    return storable(value)


def storable(value: object, depth: int = 0) -> JSONValue:
    """The same value with text cleaned and cut to `MAX_TEXT`; what JSON does not know (a date) becomes text.

    Raises
    ------
    TooDeepError
        If lists and objects are nested more than `MAX_DEPTH` levels deep.
    ValueError
        If a number is not finite or needs more than 64 bits.
    """
    if depth > MAX_DEPTH:
        raise TooDeepError(f"nested more than {MAX_DEPTH} levels deep")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) >= 2**63:
            raise ValueError("a whole number beyond 64 bits")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"the number {value}")
        return value
    if isinstance(value, list | tuple):
        return [storable(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {clean_text(str(key)): storable(item, depth + 1) for key, item in value.items()}
    return clean_text(str(value))


def clean_text(text: str) -> str:
    """The text without control, surrogate and direction characters, cut to `MAX_TEXT` characters."""
    text = _UNSAFE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"the number {constant}")
