"""Addresses of folders that are not on this machine, in fsspec's way: `s3://bucket/runs`, `sftp://host/folder`."""

import hashlib
import re
from typing import Final

_URL: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*::)*[a-z][a-z0-9+.-]*://\S+")
_NAME_LENGTH: Final = 60


def is_remote_url(text: str) -> bool:
    """Whether a text is such an address, and no path."""
    return "://" in text


def checked_url(url: str) -> str:
    """The address without a slash at its end.

    Raises
    ------
    ValueError
        If it is none, or holds a password or a signature: addresses are shown in logs and on pages.
    """
    if not _URL.fullmatch(url):
        raise ValueError("this is no address as s3://bucket/folder")
    if "?" in url or re.search(r"://[^/@]*:[^/@]*@", url):
        raise ValueError(
            "an address is shown in logs, so it may hold no password and no signature: put them into the environment "
            "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, …) or into fsspec's configuration (docs/runpod.md)"
        )
    return url.rstrip("/")


def folder_name(url: str) -> str:
    """Name of the folder on this machine that stands for an address: readable, and never that of another one."""
    readable = re.sub(r"[^a-z0-9]+", "-", url.lower()).strip("-")[:_NAME_LENGTH]
    return f"{readable}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
