"""Dagster's web application, built to be served by us, with our guard in front of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.types import ASGIApp


class DagsterMovedError(ImportError):
    """This version of Dagster builds its web application in another way than those that we know."""


@contextmanager
def dagster_app(workspace: Path) -> Iterator[ASGIApp]:
    """The application of the configured instance, which loads the code locations of a workspace file.

    None of what it is built from is a documented interface, hence the imports in here and the error.

    Raises
    ------
    DagsterMovedError
        If Dagster has moved what it is built from.
    """
    try:
        from dagster import DagsterInstance
        from dagster._core.workspace.context import WorkspaceProcessContext
        from dagster._core.workspace.load_target import WorkspaceFileTarget
        from dagster_webserver.app import create_app_from_workspace_process_context
    except ImportError as moved:
        raise DagsterMovedError(f"Dagster's web application is not where it was: {moved}.") from moved
    with (
        DagsterInstance.get() as instance,
        WorkspaceProcessContext(instance, WorkspaceFileTarget([str(workspace)])) as context,
    ):
        try:
            app: ASGIApp = create_app_from_workspace_process_context(context)
        except TypeError as moved:
            raise DagsterMovedError(f"Dagster's web application is built in another way: {moved}.") from moved
        yield app
