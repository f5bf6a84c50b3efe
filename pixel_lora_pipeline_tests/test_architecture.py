"""The rules that keep the layout meaningful (see the README's map of folders)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pixel_lora_pipeline"
# Each may import itself, what stands before it, and the modules at the top of the package.
ORDER = ("train", "validate", "analyze", "learn", "improve", "store", "notify", "embedded", "lab", "commands", "defs")


def imports_of(path: Path) -> set[str]:
    """Modules that a file imports, those inside functions included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def modules(folder: str) -> list[Path]:
    return sorted((PACKAGE / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", [name for name in ORDER if name not in ("defs", "lab")])
def test_domain_code_imports_no_dagster(folder: str) -> None:
    guilty = [
        str(path) for path in modules(folder) if any(name.split(".")[0] == "dagster" for name in imports_of(path))
    ]
    assert guilty == []


def test_calls_flow_only_downwards() -> None:
    guilty = []
    for at, folder in enumerate(ORDER):
        later = set(ORDER[at + 1 :])
        for path in modules(folder):
            for name in imports_of(path):
                parts = name.split(".")
                if parts[0] == "pixel_lora_pipeline" and len(parts) > 1 and parts[1] in later:
                    guilty.append(f"{path.relative_to(PACKAGE)} imports {name}")
    assert guilty == []


@pytest.mark.parametrize(
    "module", ["pixel_lora_pipeline.train", "pixel_lora_pipeline.store", "pixel_lora_pipeline.cli"]
)
def test_importing_does_not_load_what_only_generation_needs(module: str) -> None:
    script = f"import {module}, sys; print([name for name in ('torch', 'diffusers', 'dagster') if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
    assert loaded == "[]", f"{module} loads {loaded}"


def test_no_variable_is_read_outside_of_the_configuration() -> None:
    guilty = [
        str(path)
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "config.py"
        and any(word in path.read_text() for word in ("os.getenv", "environ.get(", "EnvVar("))
    ]
    assert guilty == []
