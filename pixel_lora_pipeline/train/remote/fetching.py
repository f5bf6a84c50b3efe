"""Copies from several places at once, of which a slow one holds up no other, nor whoever asks."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pixel_lora_pipeline.train.remote.errors import RemoteError
from pixel_lora_pipeline.train.remote.mirroring import Mirrored, mirror


@dataclass(frozen=True)
class UnderWay:
    """A copy that has not come to its end; `seconds` since it began."""

    seconds: float


@dataclass
class _Copy:
    url: str
    folder: Path
    began: float = field(default_factory=time.monotonic)
    outcome: Mirrored | RemoteError | None = None

    def run(self) -> None:
        try:
            self.outcome = mirror(self.url, self.folder)
        except RemoteError as error:
            self.outcome = error


class Fetching:
    """Looks at places elsewhere, one copy a place at a time.

    A copy goes on when whoever asked does not wait for its end, and the next to ask hears of it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, tuple[threading.Thread, _Copy]] = {}

    def look(self, places: Mapping[str, Path], patience: float) -> dict[str, Mirrored | RemoteError | UnderWay]:
        """Copy what is new at each place, and wait for it at most so many seconds in all.

        Parameters
        ----------
        places
            By address, the folder here.
        """
        until = time.monotonic() + patience
        for url, folder in places.items():
            self._begin(url, folder)
        return {url: self._wait(url, until) for url in places}

    def _begin(self, url: str, folder: Path) -> None:
        with self._lock:
            if url not in self._under_way:
                copy = _Copy(url, folder)
                thread = threading.Thread(target=copy.run, name=f"copying {url}", daemon=True)
                self._under_way[url] = thread, copy
                thread.start()

    def _wait(self, url: str, until: float) -> Mirrored | RemoteError | UnderWay:
        thread, copy = self._under_way[url]
        thread.join(max(0.0, until - time.monotonic()))
        if thread.is_alive():
            return UnderWay(time.monotonic() - copy.began)
        with self._lock:
            self._under_way.pop(url, None)
        if copy.outcome is None:
            return RemoteError(url, "made the copying fail", "This is a fault of ours: its traceback is in the log.")
        return copy.outcome
