"""The command line as it is started, in this process: starting one of its own takes seconds for each command."""

import contextlib
import io
import os
import subprocess
import sys
from unittest import mock

from pixel_lora_pipeline.cli import main
from pixel_lora_pipeline.config import PROJECT_ROOT


def clean_environment(settings: dict[str, str]) -> dict[str, str]:
    """This environment with these settings and no others."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("PIXEL_LORA", "DATABASE"))}
    return {**inherited, "COLUMNS": "200", **settings}


def pixel_lora(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """What a command prints, and its exit status."""
    out, err = io.StringIO(), io.StringIO()
    command = ["pixel-lora", *arguments]
    with (
        mock.patch.dict(os.environ, clean_environment(settings), clear=True),
        mock.patch.object(sys, "argv", command),
        contextlib.chdir(PROJECT_ROOT),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            code: object = 0
        except SystemExit as exit_:
            code = exit_.code
    returncode = code if isinstance(code, int) else 0 if code is None else 1
    return subprocess.CompletedProcess(command, returncode, out.getvalue(), err.getvalue())
