"""What the documentation names is there."""

import re
from pathlib import Path

import pytest

from pixel_lora_pipeline.cli import app
from pixel_lora_pipeline.config import PROJECT_ROOT

PAGES = sorted([*PROJECT_ROOT.glob("*.md"), *(PROJECT_ROOT / "docs").rglob("*.md")])

LINK = re.compile(r"\]\((?!https?://|#|mailto:)([^)#\s]+)[^)]*\)")
COMMAND = re.compile(r"(?:^|`|\$ )pixel-lora ([a-z][a-z-]+)", re.MULTILINE)
BENCHMARK = re.compile(r"\bbenchmarks/(\w+\.py)")


def named(page: Path) -> str:
    return str(page.relative_to(PROJECT_ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{target} is not there"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_and_benchmarks_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    known = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    known |= {group.name for group in app.registered_groups if group.name}
    for command in COMMAND.findall(text):
        assert command in {name.replace("_", "-") for name in known}, f"pixel-lora {command} is no command"
    for benchmark in BENCHMARK.findall(text):
        assert (PROJECT_ROOT / "benchmarks" / benchmark).is_file(), f"benchmarks/{benchmark} is not there"
