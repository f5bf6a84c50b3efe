"""What every page has in common: how it is drawn, with which policy, and how it takes orders."""

import getpass
import json
import logging
import secrets
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from pixel_lora_pipeline.analyze.report.document import printable
from pixel_lora_pipeline.lab.guard import PERSON
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.train.costs.duration import told_duration

logger = logging.getLogger(__name__)

Body = TypeVar("Body", bound=BaseModel)

_LONGEST_BODY: Final = 65_536  # bytes; an order is a few names and numbers

NAVIGATION: Final = (("Runs", "/lab/"), ("Queue", "/lab/queue"), ("Blind tests", "/lab/ab"))
"""Title and address of what every page links to."""


def store_of(request: Request) -> Store:
    """The store that the application was made with."""
    store: Store = request.app.state.store
    return store


def person(request: Request) -> str:
    """Who asks: the name of the login, else the account under which the pipeline runs on this machine."""
    return request.scope.get(PERSON) or getpass.getuser()


def render(request: Request, template: str, *, status: int = 200, **shown: Any) -> HTMLResponse:
    """A page from a template, under a policy that allows no script but those that carry this page's nonce."""
    nonce = secrets.token_urlsafe(16)
    text = (
        _environment()
        .get_template(template)
        .render(
            nonce=nonce,
            navigation=NAVIGATION,
            path=request.url.path,
            dagster_address=request.app.state.dagster_address,
            **shown,
        )
    )
    policy = (
        f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return HTMLResponse(text, status, {"Content-Security-Policy": policy, "Cache-Control": "no-store"})


def post(path: str, body: type[Body], answer: Callable[[Request, Body], Mapping[str, Any]]) -> Route:
    """A route for orders: JSON of a given shape in, JSON out.

    Parameters
    ----------
    answer
        Called in a thread, so that it may use the store; raise `HTTPException` to refuse.
    """

    async def endpoint(request: Request) -> Response:
        order = await _read(request, body)
        return JSONResponse(await run_in_threadpool(answer, request, order), headers={"Cache-Control": "no-store"})

    return Route(path, endpoint, methods=["POST"])


async def show_error(request: Request, error: Exception) -> Response:
    """What went wrong, as a page for people and as JSON for scripts."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for these
    if request.method == "POST" or request.url.path.startswith("/lab/api/"):
        return JSONResponse({"error": error.detail}, error.status_code)
    return render(request, "error.html.jinja", status=error.status_code, message=error.detail)


async def show_database_is_away(request: Request, fault: Exception) -> Response:
    """That the database does not answer, as a page for people and as JSON for scripts: the same may work soon."""
    logger.warning("%s was not answered: %s", request.url.path, fault)
    away = HTTPException(503, "The database does not answer. Nothing is lost: load this again in a moment.")
    answer = await show_error(request, away)
    answer.headers["Retry-After"] = "5"
    return answer


async def _read(request: Request, body: type[Body]) -> Body:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _LONGEST_BODY:
            raise HTTPException(413, f"An order is at most {_LONGEST_BODY} bytes of JSON.")
    try:
        return body.model_validate_json(bytes(content))
    except ValidationError as faults:
        found = "; ".join(f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in faults.errors())
        raise HTTPException(422, f"The order is not understood: {found}.") from None


@cache
def _environment() -> Environment:
    # On for every template, whatever it is called; a misspelt name is an error and not an empty place.
    environment = Environment(
        autoescape=True,
        loader=PackageLoader("pixel_lora_pipeline.lab"),
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["json"] = json.dumps
    environment.filters["duration"] = told_duration
    return environment


def _finalized(value: Any) -> Any:
    """What the templates show of a value: texts come from anywhere."""
    return printable(value) if type(value) is str else value
