"""The lab as one ASGI application: its pages below /lab, whatever else there is beside them, the guard in front."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import psycopg
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.lab import live
from pixel_lora_pipeline.lab.guard import Guard
from pixel_lora_pipeline.lab.live import Hub
from pixel_lora_pipeline.lab.login import Login
from pixel_lora_pipeline.lab.page import show_database_is_away, show_error
from pixel_lora_pipeline.lab.pages import ab, compare, dashboard, grid, images, queue, reports, run, vote
from pixel_lora_pipeline.lab.spending import MonthSpending
from pixel_lora_pipeline.store import DatabaseError, Store

STATIC: Final = Path(__file__).parent / "static"

PAGES: Final = (dashboard, run, compare, grid, images, reports, vote, ab, queue, live)
"""Modules that each add `routes`, whose paths begin with a slash and lie below /lab."""


def create_app(
    store: Store,
    settings: Settings,
    *,
    dagster_ui: ASGIApp | None = None,
    dagster_address: str = "/",
) -> ASGIApp:
    """The guarded application.

    Parameters
    ----------
    dagster_ui
        Dagster's web application, which then answers everything outside /lab.
    dagster_address
        Where the pages link to for Dagster's UI.
    """
    routes = [route for page in PAGES for route in page.routes]
    lab = Mount("/lab", routes=[*routes, Mount("/static", StaticFiles(directory=STATIC), name="static")])
    beside = Mount("/", dagster_ui) if dagster_ui is not None else Route("/", lambda _: RedirectResponse("/lab/"))
    front = Route("/lab", lambda _: RedirectResponse("/lab/"))
    hub = Hub(store)

    @asynccontextmanager
    async def alive(_: Starlette) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(hub.run()), asyncio.create_task(hub.prune())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()

    app = Starlette(
        routes=[front, lab, beside],
        lifespan=alive,
        exception_handlers={
            HTTPException: show_error,
            DatabaseError: show_database_is_away,
            psycopg.OperationalError: show_database_is_away,
        },
    )
    app.state.store = store
    app.state.hub = hub
    app.state.settings = settings
    app.state.spending = MonthSpending(store, settings.costs)
    app.state.dagster_address = dagster_address
    return Guard(app, port=settings.port, allowed_hosts=settings.allowed_hosts, login=Login.of(settings))
