#!/usr/bin/env python3
"""Start here: `python3 run.py` makes an environment, installs what is pinned, and starts the pipeline.

    python3 run.py            the pipeline with Dagster's UI; Ctrl-C stops everything
    python3 run.py --once     the same, ends when the demo's last epoch is evaluated
    python3 run.py test       all tests
    python3 run.py ARGS…      any command of `pixel-lora`, for example: python3 run.py doctor

Only the standard library is used here, because nothing else is installed yet.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
REQUIREMENTS = ROOT / "requirements.txt"
TEST_REQUIREMENTS = ROOT / "requirements-dev.txt"
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OLDEST_PYTHON = (3, 11)


def main(arguments: list[str]) -> int:
    """Installs what is missing, then hands over to the installed program and returns its exit status."""
    if sys.version_info < OLDEST_PYTHON:
        version = ".".join(map(str, sys.version_info[:3]))
        print(f"Python {version} is too old: this project needs 3.11 or newer. Run it as: python3.11 run.py")
        return 2
    testing = arguments[:1] == ["test"]
    try:
        python = install(testing=testing)
    except subprocess.CalledProcessError as error:
        print(f"Installing failed (status {error.returncode}); pip says why above. Run the same command to go on.")
        return error.returncode
    if testing:
        # A process for each core, and files whole: they share what is slow to make. In their own order: by size, those
        # with few but long tests would come last, and one process would wait for the other.
        options = arguments[1:] or ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]
        return run_child([str(python), "-m", "pytest", *options])
    command = arguments if arguments and not arguments[0].startswith("-") else ["up", *arguments]
    return run_child([str(python), "-m", "pixel_lora_pipeline.cli", *command])


def install(*, testing: bool) -> Path:
    """Makes `.venv` and installs the pinned requirements, unless that was already done for these very pins.

    Returns
    -------
    Path of the environment's Python.
    """
    python = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = ENVIRONMENT / "installed.json"
    files = [REQUIREMENTS, TEST_REQUIREMENTS] if testing else [REQUIREMENTS]
    wanted = {path.name: fingerprint(path) for path in [*files, ROOT / "pyproject.toml"]}
    done = json.loads(stamp.read_text()) if python.exists() and stamp.exists() else {}
    if wanted.items() <= done.items():
        return python
    if not python.exists():
        print(f"Making an environment in {ENVIRONMENT}", flush=True)
        venv.create(ENVIRONMENT, with_pip=True)
    stamp.unlink(missing_ok=True)
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    install_torch(python, pip)
    print("Installing the pinned requirements (a few minutes the first time)", flush=True)
    for path in files:
        subprocess.run([*pip, "-r", str(path)], check=True)
    subprocess.run([*pip, "--quiet", "--no-deps", "--editable", str(ROOT)], check=True)
    stamp.write_text(json.dumps(wanted))
    return python


def fingerprint(path: Path) -> str:
    """Changes with the file's content and with the Python that installs it."""
    return f"{sys.version_info[:2]} {hashlib.sha256(path.read_bytes()).hexdigest()}"


def install_torch(python: Path, pip: list[str]) -> None:
    """Installs torch in the smallest build that suits this machine, and says which.

    A CPU build that pip's own configuration offers is taken first; else, on a Linux or Windows machine without
    an NVIDIA GPU, PyTorch's CPU index where it can be reached; else what PyPI has.
    """
    torch = next(line for line in REQUIREMENTS.read_text().splitlines() if line.startswith("torch=="))
    installed = subprocess.run(
        [str(python), "-c", "from importlib.metadata import version; print(version('torch'))"],
        capture_output=True,
        text=True,
        check=False,
    )
    if installed.returncode == 0 and installed.stdout.startswith(torch.removeprefix("torch==").rstrip("*")):
        return
    source = "PyPI's build"
    extra: list[str] = []
    if offered_by_configuration(pip, torch):
        source = "the CPU build that pip's configuration offers"
    elif sys.platform != "darwin" and shutil.which("nvidia-smi") is None and reachable(TORCH_CPU_INDEX):
        source = f"the CPU build of {TORCH_CPU_INDEX} (no NVIDIA GPU found)"
        extra = ["--index-url", TORCH_CPU_INDEX]
    print(f"Installing torch: {source}", flush=True)
    subprocess.run([*pip, *extra, torch], check=True)


def offered_by_configuration(pip: list[str], torch: str) -> bool:
    """Whether pip, as it is configured here, resolves torch to a CPU build (local version `+cpu`)."""
    plan = subprocess.run(
        [*pip, "--quiet", "--dry-run", "--no-deps", "--ignore-installed", "--report", "-", torch],
        capture_output=True,
        text=True,
        check=False,
    )
    if plan.returncode != 0:
        return False
    chosen = json.loads(plan.stdout)["install"]
    return any(str(item["metadata"]["version"]).endswith("+cpu") for item in chosen)


def reachable(url: str) -> bool:
    """Whether the address answers within five seconds."""
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - the address is a constant above
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


def run_child(command: list[str]) -> int:
    """Becomes the command where the system can do that, so that signals reach it and nothing stands between.

    On Windows the command runs as a child in the foreground and decides itself how Ctrl-C stops it.
    """
    os.chdir(ROOT)
    if os.name != "nt":
        sys.stdout.flush()
        os.execv(command[0], command)  # noqa: S606 - no shell is wanted
    with subprocess.Popen(command) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
