"""The whole pipeline as a user starts it: real processes, real database, real daemon, real small model."""

import os
import random
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
import psycopg
import pytest

from pixel_lora_pipeline.store import Store, embedded_postgres
from pixel_lora_pipeline_tests.defs.conftest import EPOCHS, small_suite, trained
from pixel_lora_pipeline_tests.whole_pipeline import home, left_over, running, wait_for

__all__ = ["home", "small_suite", "trained"]  # fixtures


def daemon(pipeline: psutil.Process, after: int | None = None) -> psutil.Process | None:
    """The running daemon, other than the one of the process id."""
    for child in pipeline.children():
        with suppress(psutil.NoSuchProcess):  # it ended, or is only waited for
            if child.pid != after and "dagster._daemon" in " ".join(child.cmdline()):
                return child
    return None


def successes(url: str) -> Counter[str]:
    """How often each partition was evaluated to the end."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            """
            SELECT tags.value FROM dagster.runs runs JOIN dagster.run_tags tags USING (run_id)
            WHERE tags.key = 'dagster/partition' AND runs.pipeline_name = 'evaluate_checkpoint'
              AND runs.status = 'SUCCESS'
            """
        ).fetchall()
    return Counter(partition for (partition,) in rows)


@contextmanager
def twin(process: psutil.Process) -> Iterator[None]:
    """A second process that runs the same command beside the first, with all that it starts itself."""
    second = psutil.Popen(
        process.cmdline(),
        cwd=process.cwd(),
        env=process.environ(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        started = [second, *second.children(recursive=True)]
        second.terminate()
        for process in psutil.wait_procs(started, timeout=20)[1]:
            process.kill()


@pytest.mark.timeout(600)
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_daemon_that_is_killed_again_and_again_loses_no_epoch_and_evaluates_none_twice(
    home: Path, trained: Path, small_suite: Path
) -> None:
    watched = home / "watched"
    watched.mkdir()
    rng = random.Random(4)  # noqa: S311 - moments, not secrets
    with (
        embedded_postgres(home) as url,
        running(
            home, PIXEL_LORA_WATCHED=f'["{watched}"]', PIXEL_LORA_SUITE=str(small_suite), DATABASE_URL=url
        ) as pipeline,
    ):
        store = Store(url, home / "images")

        wait_for(lambda: daemon(pipeline) is not None, 60, "the daemon")
        for path in sorted(trained.glob("*")):
            shutil.copy(path, watched)
        for _ in range(3):
            time.sleep(rng.uniform(4, 14))
            victim = daemon(pipeline)
            assert victim is not None, "no daemon runs"
            victim.kill()
            wait_for(partial(daemon, pipeline, after=victim.pid), 30, "the daemon to be started again")
        wait_for(lambda: len(successes(url)) == EPOCHS, 300, f"{EPOCHS} evaluated epochs, not {dict(successes(url))}")
        time.sleep(8)  # long enough for another look of the sensor, which must ask for nothing more
        times = successes(url)
        rows = store.epochs.recent()
    assert set(times.values()) == {1}, f"evaluated more than once: {dict(times)}"
    assert [row.evaluation_status for row in rows] == ["evaluated"] * EPOCHS
    assert left_over(home) == []


@pytest.mark.timeout(600)
def test_two_daemons_at_once_evaluate_each_epoch_once(home: Path, trained: Path, small_suite: Path) -> None:
    watched = home / "watched"
    watched.mkdir()
    with (
        embedded_postgres(home) as url,
        running(
            home, PIXEL_LORA_WATCHED=f'["{watched}"]', PIXEL_LORA_SUITE=str(small_suite), DATABASE_URL=url
        ) as pipeline,
    ):
        wait_for(partial(daemon, pipeline), 60, "the daemon")
        first = daemon(pipeline)
        assert first is not None
        with twin(first):
            time.sleep(12)  # both have loaded the project
            for path in sorted(trained.glob("*")):
                shutil.copy(path, watched)
            wait_for(lambda: len(successes(url)) == EPOCHS, 240, f"{EPOCHS} epochs, not {dict(successes(url))}")
            time.sleep(8)
            times = successes(url)
            rows = Store(url, home / "images").epochs.recent()
            with psycopg.connect(url) as connection:
                doubled = connection.execute(
                    """
                    SELECT epoch_result_id, prompt_id, seed FROM prompt_test_results
                    GROUP BY epoch_result_id, prompt_id, seed HAVING count(*) > 1
                    """
                ).fetchall()
    assert set(times.values()) == {1}, f"evaluated more than once: {dict(times)}"
    assert [row.evaluation_status for row in rows] == ["evaluated"] * EPOCHS
    assert doubled == []
    assert left_over(home) == []
