"""How long something took, for people."""

from typing import Final

_MINUTE: Final = 60
_HOUR: Final = 3600


def told_duration(seconds: float) -> str:
    """In seconds, minutes or hours, with about two digits that count: "45 s", "12 min", "1.5 h"."""
    if seconds < 1.5 * _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < 1.5 * _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.1f} h"
