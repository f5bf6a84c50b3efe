"""A real browser, whichever this machine has."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Dialog, Page, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
# Nothing of the browser's own may reach for the network.
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@dataclass
class Incidents:
    """What a page did beside showing itself."""

    dialogs: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@contextmanager
def opened(path: Path, **options: object) -> Iterator[tuple[Page, Incidents]]:
    """A page of a file in a browser; skips the test where there is none."""
    installed = next((found for name in NAMES if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        if installed is None and not Path(own).exists():
            pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed, nor playwright's own")
        browser = playwright.chromium.launch(executable_path=installed, args=list(QUIET))
        try:
            page, incidents = browser.new_page(**options), Incidents()  # type: ignore[arg-type]

            def refuse(dialog: Dialog) -> None:
                incidents.dialogs.append(dialog.message)
                dialog.dismiss()

            page.on("dialog", refuse)
            page.on("console", lambda message: incidents.messages.append(message.text))
            page.on("pageerror", lambda error: incidents.messages.append(str(error)))
            page.on("request", lambda request: incidents.requests.append(request.url))
            page.goto(path.as_uri())
            yield page, incidents
        finally:
            browser.close()
