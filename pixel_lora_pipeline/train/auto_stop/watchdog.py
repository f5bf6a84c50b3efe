"""The script that stops a pod from within when its time is over."""

from importlib.resources import files
from typing import Final

_LIMIT: Final = "limit=21600  # seconds\n"


def watchdog_script(hours: float) -> str:
    """A POSIX shell script that stops the pod it runs on after so many hours of running.

    Raises
    ------
    ValueError
        If that is less than a second.
    """
    seconds = round(hours * 3600)
    if seconds < 1:
        raise ValueError(f"{hours:g} hours are less than a second: say for how long the pod may run.")
    script = (files(__package__) / "watchdog.sh").read_text(encoding="utf-8")
    assert script.count(_LIMIT) == 1  # noqa: S101 - a test runs the script
    return script.replace(_LIMIT, f"limit={seconds}  # seconds\n")
