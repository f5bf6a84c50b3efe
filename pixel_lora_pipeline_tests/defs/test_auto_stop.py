"""The sensor `auto_stop` looks at every registered machine, and says in its tick what it did."""

import time
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import SecretStr

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.train.auto_stop import auto_stop
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.train.trainers import LocalProcess
from pixel_lora_pipeline_tests.train.runpod_server import KEY, RunPodServer


def tick(store: Store, settings: Settings) -> str:
    with dg.DagsterInstance.ephemeral() as instance:
        resources: dict[str, Any] = {"settings": settings, "store": store, "trainer": LocalProcess([])}
        context = dg.build_sensor_context(instance=instance, resources=resources)
        found = auto_stop(context)
    assert isinstance(found, dg.SkipReason)
    return found.skip_message or ""


def settings(home: Path, server: RunPodServer, mode: Any, **more: Any) -> Settings:
    return Settings(
        home=home,
        runpod_api_key=SecretStr(KEY),
        runpod_url=server.url,
        auto_stop={"mode": mode},  # type: ignore[arg-type]
        **more,
    )


def test_a_tick_says_what_was_done_with_each_machine(store: Store, tmp_path: Path, runpod_server: RunPodServer) -> None:
    runpod_server.add_pod("p0d")
    store.auto_stop.register("pod", "p0d", {"pod_id": "p0d"}, "me", hours_limit=1.0)
    assert tick(store, settings(tmp_path, runpod_server, "observe")) == "p0d none"
    assert tick(store, settings(tmp_path, runpod_server, "observe")) == "No registered machine runs", (
        "a machine that was looked at a moment ago was looked at again"
    )


def test_off_asks_nobody_anything(store: Store, tmp_path: Path, runpod_server: RunPodServer) -> None:
    store.auto_stop.register("pod", "p0d", {"pod_id": "p0d"}, "me")
    assert tick(store, settings(tmp_path, runpod_server, "off")) == "auto_stop.mode is off"
    assert runpod_server.lines == []


def test_a_tick_does_not_sit_out_the_pause_that_runpod_asks_for(
    store: Store, tmp_path: Path, runpod_server: RunPodServer
) -> None:
    runpod_server.add_pod("p0d")
    runpod_server.fail(429, retry_after=25, times=None)
    store.auto_stop.register("pod", "p0d", {"pod_id": "p0d"}, "me")
    began = time.monotonic()
    assert tick(store, settings(tmp_path, runpod_server, "observe")) == "p0d unreadable"
    assert time.monotonic() - began < 10
    assert len(runpod_server.lines) == 1, "RunPod was not left alone"


def test_the_budget_of_the_month_counts(store: Store, tmp_path: Path, runpod_server: RunPodServer) -> None:
    runpod_server.add_pod("p0d")
    store.auto_stop.register("pod", "p0d", {"pod_id": "p0d"}, "me")
    configured = settings(tmp_path, runpod_server, "observe", costs={"monthly_budget": 5})
    tick(store, configured)
    (decision,) = store.auto_stop.log(idle=True, limit=1)
    assert decision.reading is not None
    assert [spent["budget"] for spent in decision.reading["spent"]] == [5.0]


def test_it_runs_by_itself_and_not_too_often() -> None:
    assert auto_stop.default_status is dg.DefaultSensorStatus.RUNNING
    assert auto_stop.minimum_interval_seconds == 30
