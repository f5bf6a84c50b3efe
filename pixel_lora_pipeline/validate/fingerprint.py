"""What identifies an image before it is painted: a canonical record of everything that shapes its pixels."""

import hashlib
import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

# A new release of any of these may change pixels.
_LIBRARIES = ("torch", "diffusers", "transformers", "peft")


def library_versions() -> dict[str, str]:
    """Versions of the libraries that paint, as installed."""
    return {name: version(name) for name in _LIBRARIES}


def canonical_json(values: Mapping[str, Any]) -> str:
    """One spelling for equal values: sorted keys, no spaces.

    Raises
    ------
    TypeError, ValueError
        If a value is not JSON, or is NaN or infinity, for which JSON has no word.
    """
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def fingerprint_hash(fingerprint: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a fingerprint, 64 hex digits."""
    return hashlib.sha256(canonical_json(fingerprint).encode()).hexdigest()
