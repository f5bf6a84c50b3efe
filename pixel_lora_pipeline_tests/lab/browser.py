"""A real browser that looks at pages of a server."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from pixel_lora_pipeline_tests.analyze.browser import NAMES, QUIET, Incidents


@contextmanager
def browsing() -> Iterator[Browser]:
    """Whichever browser this machine has; skips the test where there is none."""
    installed = next((found for name in NAMES if (found := shutil.which(name))), None)
    if installed is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=installed, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(browser: Browser, address: str, **options: object) -> Iterator[tuple[Page, Incidents]]:
    """A page at an address, in a profile of its own, and what it does beside showing itself."""
    context = browser.new_context(**options)  # type: ignore[arg-type]
    page, incidents = context.new_page(), Incidents()

    def refuse(dialog: object) -> None:
        incidents.dialogs.append(dialog.message)  # type: ignore[attr-defined]
        dialog.dismiss()  # type: ignore[attr-defined]

    page.on("dialog", refuse)
    page.on("console", lambda message: incidents.messages.append(message.text))
    page.on("pageerror", lambda error: incidents.messages.append(str(error)))
    page.on("request", lambda request: incidents.requests.append(request.url))
    try:
        page.goto(address)
        yield page, incidents
    finally:
        context.close()
