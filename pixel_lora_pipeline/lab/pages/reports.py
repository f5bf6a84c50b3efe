"""Reports, found by the id of what they are about; files are served from the folder of reports and nowhere else."""

import re
from pathlib import Path
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.lab.page import store_of
from pixel_lora_pipeline.store import Store

# A file beside a report that it may link to: no separators, no dot at the start.
_FILE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,200}\.(html|json|md|csv|png|svg)")
_KINDS: Final = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".md": "text/plain; charset=utf-8",
    ".csv": "text/plain; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
}
# As strict as the pages' own policy: no script, nothing from outside.
_POLICY: Final = (
    "default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def report(request: Request) -> Response:
    """A report's page; the address ends with a slash, so that its links to files beside it work."""
    path = _path(request)
    return RedirectResponse(f"{request.url.path}/{path.name}")


def file(request: Request) -> Response:
    """A report's page, or a file beside it."""
    name = request.path_params["name"]
    if not _FILE.fullmatch(name):
        raise HTTPException(404, "There is no such report.")
    path = _inside(request, _path(request).parent / name)
    return FileResponse(
        path,
        media_type=_KINDS[path.suffix],
        headers={"Content-Security-Policy": _POLICY, "Cache-Control": "no-cache"},
    )


def _path(request: Request) -> Path:
    store: Store = store_of(request)
    find = {
        "run": store.overview.report_of_run,
        "epoch": store.overview.report_of_epoch,
        "impact": store.overview.impact_report,
    }.get(request.path_params["kind"])
    path = None if find is None else find(request.path_params["row_id"])
    if path is None:
        raise HTTPException(404, "There is no such report.")
    return _inside(request, Path(path))


def _inside(request: Request, path: Path) -> Path:
    """The file itself, if it lies in the folder of reports once every link is followed."""
    settings: Settings = request.app.state.settings
    try:
        found = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        raise HTTPException(404, "The report's file is gone.") from None
    if not found.is_relative_to((settings.home / "reports").resolve()) or not found.is_file():
        raise HTTPException(404, "The report's file does not lie in the folder of reports.")
    return found


routes = [
    Route("/reports/{kind}/{row_id}", report),
    Route("/reports/{kind}/{row_id}/{name}", file),
]
