"""The demo as a newcomer starts it: a real training, real evaluations, and nothing left running."""

import subprocess
import time
from pathlib import Path

import pytest

from pixel_lora_pipeline.config import PROJECT_ROOT
from pixel_lora_pipeline.embedded.demo import DEMO_EPOCHS, DEMO_RUN
from pixel_lora_pipeline.store import Store, embedded_postgres
from pixel_lora_pipeline_tests.defs.conftest import small_suite
from pixel_lora_pipeline_tests.whole_pipeline import UP, environment, home, left_over

__all__ = ["home", "small_suite"]  # fixtures


def up_once(home: Path, suite: Path, *, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*UP, "--once"],
        cwd=PROJECT_ROOT,
        env=environment(home, PIXEL_LORA_SUITE=str(suite)),
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


@pytest.mark.timeout(1500)
def test_the_demo_runs_to_its_end_leaves_nothing_running_and_keeps_its_data(home: Path, small_suite: Path) -> None:
    first = up_once(home, small_suite, seconds=1200)
    assert first.returncode == 0, first.stdout + first.stderr
    for epoch in range(1, DEMO_EPOCHS + 1):
        assert f"{DEMO_RUN} epoch {epoch}: evaluated" in first.stdout, first.stdout
    assert "Evaluated epochs" in first.stdout, "no table was printed"
    assert left_over(home) == []

    with embedded_postgres(home) as url:
        rows = Store(url, home / "images").epochs.table(DEMO_RUN)
    assert [row.epoch for row in rows] == list(range(1, DEMO_EPOCHS + 1))
    assert all(row.contact_sheet and Path(row.contact_sheet).exists() for row in rows)

    began = time.monotonic()
    second = up_once(home, small_suite, seconds=200)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "landed" not in second.stdout, f"the second start did work again: {second.stdout}"
    assert left_over(home) == [], f"after a second start of {time.monotonic() - began:.0f} s"
