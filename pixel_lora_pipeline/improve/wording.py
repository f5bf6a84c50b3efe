"""Changes and lists as a person reads them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pixel_lora_pipeline.improve.configuration import is_known, number_of

_MOST_NAMES: Final = 6


def told_change(changes: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    """As "keep_tokens 1 → 3, conv_dim not set → 8"; as "keep_tokens=3" where there is nothing before."""
    if before is None:
        return ", ".join(f"{name}={shown(after)}" for name, after in changes.items())
    return ", ".join(f"{name} {shown(before.get(name))} → {shown(after)}" for name, after in changes.items())


def shown(value: Any) -> str:
    """A value without more digits than anybody would write."""
    if not is_known(value):
        return "not set"
    if isinstance(value, str | bool) or number_of(value) is None:
        return str(value)
    return f"{number_of(value):.6g}"


def listed(names: Sequence[str], most: int = _MOST_NAMES) -> str:
    """As "a, b and c"; of many, the first ones and how many more."""
    texts = [str(name) for name in names]
    if len(texts) > most:
        return f"{', '.join(texts[:most])} and {len(texts) - most} more"
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else "none"
