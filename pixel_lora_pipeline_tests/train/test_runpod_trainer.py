"""A training on a rented pod is started once, its checkpoints come here, and no pod runs on that need not."""

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pixel_lora_pipeline.train.runpod import RunPod
from pixel_lora_pipeline.train.trainers import TrainerError, TrainingState, control_folder
from pixel_lora_pipeline.train.trainers.runpod import NAME_PREFIX, PodPlan, RunPodTrainer
from pixel_lora_pipeline.train.trainers.runpod.trainer import START_SCRIPT
from pixel_lora_pipeline_tests.train.lora_files import KOHYA_SAMPLES
from pixel_lora_pipeline_tests.train.runpod_server import GPU, KEY, TEMPLATE, RunPodServer

GENUINE = KOHYA_SAMPLES / "run_a"
CONFIG = {
    "output_name": "pixchar_a",
    "pretrained_model_name_or_path": "/workspace/models/sd15.safetensors",
    "train_data_dir": "/workspace/data",
    "network_dim": 8,
    "learning_rate": 1e-4,
    "conv_dim": 4,
    "max_train_epochs": 3,
    "sample_prompts": None,
}


@pytest.fixture
def bucket(tmp_path: Path) -> Path:
    return tmp_path / "bucket"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "trainings" / "pixchar_a"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def runpod(runpod_server: RunPodServer) -> Iterator[RunPod]:
    client = RunPod(SecretStr(KEY), runpod_server.url, timeout=0.15, sleep=lambda _: None)
    yield client
    client.close()


@pytest.fixture
def now() -> list[float]:
    return [1_000_000.0]


def plan(bucket: Path, *gpu_types: str) -> PodPlan:
    return PodPlan(TEMPLATE, gpu_types, "community", f"file://{bucket}", timedelta(hours=2))


def impatient(runpod: RunPod, plan: PodPlan, now: list[float]) -> RunPodTrainer:
    return RunPodTrainer(runpod, plan, look_seconds=0, stop_seconds=30, sleep=lambda _: None, clock=lambda: now[0])


@pytest.fixture
def trainer(runpod: RunPod, bucket: Path, now: list[float]) -> RunPodTrainer:
    return impatient(runpod, plan(bucket, "NVIDIA H100", GPU), now)


def on_the_pod(training: dict[str, Any], bucket: Path) -> Path:
    return bucket / training["pod_name"]


def saves(name: str, training: dict[str, Any], bucket: Path) -> None:
    shutil.copy(GENUINE / name, on_the_pod(training, bucket))


def looked(trainer: RunPodTrainer, training: dict[str, Any]) -> TrainingState:
    """Looks until it is over."""
    for _ in range(10):
        state = trainer.look(training)
        if not state.is_running:
            return state
    raise AssertionError(f"still running: {state}")


def test_a_pod_is_rented_told_what_to_train_and_stopped_when_the_last_checkpoint_is_here(
    trainer: RunPodTrainer, runpod_server: RunPodServer, bucket: Path, folder: Path
) -> None:
    training = trainer.start(CONFIG, folder)
    (pod,) = runpod_server.pods.values()
    assert (pod.id, pod.cloud, pod.gpu) == (training["pod_id"], "COMMUNITY", GPU), "the first GPU is not to be had"
    assert pod.name.startswith(f"{NAME_PREFIX}pixchar_a-")
    assert pod.env == {
        "PIXEL_LORA_RUN_URL": f"file://{bucket}/{pod.name}",
        "PIXEL_LORA_OUTPUT_NAME": "pixchar_a",
        "PIXEL_LORA_DEADLINE_SECONDS": "7200",
    }
    told = tomllib.loads((bucket / pod.name / "config.toml").read_text())
    assert (told["network_dim"], told["network_args"], told["save_every_n_epochs"]) == (8, ["conv_dim=4"], 1)
    assert "sample_prompts" not in told
    assert (bucket / pod.name / "start.sh").read_bytes() == START_SCRIPT.read_bytes()

    assert trainer.look(training).is_running
    saves("pixchar_a-000001.safetensors", training, bucket)
    assert trainer.look(training).is_running
    assert (folder / "pixchar_a-000001.safetensors").is_file()
    pod.looks_to_exit = 1
    saves("pixchar_a.safetensors", training, bucket)
    assert trainer.look(training).is_running, "its pod has not stopped yet"
    state = looked(trainer, training)
    assert (state.is_complete, state.failure, pod.status) == (True, None, "EXITED")
    assert runpod_server.destructive == []


def test_a_training_is_started_once_whoever_asks(
    trainer: RunPodTrainer, runpod_server: RunPodServer, folder: Path
) -> None:
    training = trainer.start(CONFIG, folder)
    assert trainer.start(CONFIG, folder) == training
    assert len(runpod_server.pods) == 1


def test_a_starter_that_dies_before_it_hears_the_answer_has_started_one_training(
    trainer: RunPodTrainer, runpod_server: RunPodServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pixel_lora_pipeline.train.trainers.runpod.trainer.write_whole", dies)
        with pytest.raises(KeyboardInterrupt):
            trainer.start(CONFIG, folder)
    training = trainer.start(CONFIG, folder)
    assert list(runpod_server.pods) == [training["pod_id"]]


@pytest.mark.parametrize("fault", ["lose", "truncate", "garble"])
def test_a_lost_answer_starts_no_second_pod_and_the_first_is_found(
    runpod: RunPod, runpod_server: RunPodServer, bucket: Path, folder: Path, now: list[float], fault: str
) -> None:
    trainer = impatient(runpod, plan(bucket, GPU), now)
    getattr(runpod_server, fault)(on="POST /v2/pods$")
    training = trainer.start(CONFIG, folder)
    assert list(runpod_server.pods) == [training["pod_id"]]
    saves("pixchar_a.safetensors", training, bucket)
    assert looked(trainer, training).is_complete


def test_a_pod_of_which_nobody_knows_counts_as_running_until_it_certainly_is_not(
    trainer: RunPodTrainer, runpod_server: RunPodServer, folder: Path, now: list[float]
) -> None:
    runpod_server.fail(500, on="POST")
    training = trainer.start(CONFIG, folder)
    assert "pod_id" not in training
    assert trainer.look(training).is_running
    pod = runpod_server.add_pod("late", training["pod_name"])
    assert trainer.look(training).is_running
    trainer.stop(training)
    assert pod.status == "EXITED"
    runpod_server.vanish("late")
    now[0] += 601
    assert "it was never made" in str(looked(trainer, training).failure)


def test_what_cannot_be_rented_is_told_and_can_be_tried_again(
    trainer: RunPodTrainer, runpod_server: RunPodServer, folder: Path
) -> None:
    runpod_server.capacity = False
    with pytest.raises(TrainerError, match=r"NVIDIA H100: [\s\S]*RTX 4090: [\s\S]*no longer any instances"):
        trainer.start(CONFIG, folder)
    runpod_server.capacity = True
    assert "pod_id" in trainer.start(CONFIG, folder)
    assert len(runpod_server.pods) == 1


def test_a_configuration_that_kohya_cannot_take_rents_nothing(
    trainer: RunPodTrainer, runpod_server: RunPodServer, folder: Path
) -> None:
    with pytest.raises(TrainerError, match=r"network_dimm.*did you mean network_dim[\s\S]*train_data_dir"):
        trainer.start({**CONFIG, "network_dimm": 4, "train_data_dir": None}, folder)
    assert runpod_server.requests == []


@pytest.mark.parametrize(
    "fault",
    [
        lambda server: server.fail(401, times=None),
        lambda server: server.fail(429, times=None, retry_after=3600),
        lambda server: server.fail(500, times=None),
        lambda server: server.silent(times=None),
        lambda server: server.garble(times=None),
    ],
)
def test_while_nobody_can_say_a_training_counts_as_running_and_its_checkpoints_still_come(
    trainer: RunPodTrainer, runpod_server: RunPodServer, bucket: Path, folder: Path, fault: Any
) -> None:
    training = trainer.start(CONFIG, folder)
    saves("pixchar_a-000001.safetensors", training, bucket)
    fault(runpod_server)
    state = trainer.look(training)
    assert state.is_running and "RunPod" in state.progress
    assert (folder / "pixchar_a-000001.safetensors").is_file()
    with pytest.raises(TrainerError, match=r"costs? money|costing money"):
        trainer.stop(training)
    runpod_server.calm()
    trainer.stop(training)
    assert runpod_server.pods[training["pod_id"]].status == "EXITED"


def test_checkpoints_out_of_reach_end_no_training(
    trainer: RunPodTrainer, runpod_server: RunPodServer, bucket: Path, folder: Path
) -> None:
    training = trainer.start(CONFIG, folder)
    saves("pixchar_a.safetensors", training, bucket)
    runpod_server.pods[training["pod_id"]].status = "EXITED"
    unreachable = {**training, "run_url": "nowhere://bucket/run"}
    state = trainer.look(unreachable)
    assert state.is_running and "still to be fetched" in state.progress
    assert looked(trainer, training).is_complete


def test_a_trainer_that_fails_says_why_and_its_pod_is_stopped(
    trainer: RunPodTrainer, runpod_server: RunPodServer, bucket: Path, folder: Path
) -> None:
    training = trainer.start(CONFIG, folder)
    (on_the_pod(training, bucket) / "training.log").write_text("steps: 10%\rsteps: 20%\nCUDA out of memory\n")
    for _ in range(3):
        assert trainer.look(training).progress
    (on_the_pod(training, bucket) / "ended.json").write_text('{"exit_status": 1, "reason": "failed"}')
    state = looked(trainer, training)
    assert runpod_server.pods[training["pod_id"]].status == "EXITED"
    assert not state.is_complete and "CUDA out of memory" in str(state.failure)


def test_a_pod_that_vanishes_fails_its_training_and_leaves_what_it_had_saved(
    trainer: RunPodTrainer, runpod_server: RunPodServer, bucket: Path, folder: Path
) -> None:
    training = trainer.start(CONFIG, folder)
    saves("pixchar_a-000001.safetensors", training, bucket)
    runpod_server.vanish(training["pod_id"])
    assert "somebody has terminated it" in str(looked(trainer, training).failure)
    assert (folder / "pixchar_a-000001.safetensors").is_file()
    trainer.stop(training)


def test_a_pod_that_does_not_stop_or_is_locked_raises_the_alarm(
    trainer: RunPodTrainer, runpod_server: RunPodServer, bucket: Path, folder: Path
) -> None:
    training = trainer.start(CONFIG, folder)
    pod = runpod_server.pods[training["pod_id"]]
    pod.ignores_stop = True
    with pytest.raises(TrainerError, match="does not stop"):
        trainer.stop(training)
    pod.ignores_stop, pod.locked = False, True
    with pytest.raises(TrainerError, match="locked"):
        trainer.stop(training)
    saves("pixchar_a.safetensors", training, bucket)
    state = trainer.look(training)
    assert state.is_running and "locked and goes on costing 0.44" in state.progress
    pod.locked = False
    assert looked(trainer, training).is_complete


def test_a_stop_is_over_when_the_pod_has_stopped(
    trainer: RunPodTrainer, runpod_server: RunPodServer, folder: Path
) -> None:
    training = trainer.start(CONFIG, folder)
    pod = runpod_server.pods[training["pod_id"]]
    pod.status, pod.looks_to_exit = "RUNNING", 3
    trainer.stop(training)
    assert pod.status == "EXITED"
    trainer.stop(training)
    assert runpod_server.destructive == []


def test_runpod_is_not_asked_at_every_look(
    runpod: RunPod, runpod_server: RunPodServer, bucket: Path, folder: Path
) -> None:
    trainer = RunPodTrainer(runpod, plan(bucket, GPU), sleep=lambda _: None)
    training = trainer.start(CONFIG, folder)
    before = len(runpod_server.requests)
    for _ in range(20):
        trainer.look(training)
    assert len(runpod_server.requests) == before + 1


@pytest.fixture
def pod_machine(tmp_path: Path) -> Path:
    """The programs that a pod has, as far as the start script calls them; the bucket is a folder."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {
        "aws": """#!/usr/bin/env python3
import fnmatch, pathlib, shutil, sys
words = [word for word in sys.argv[2:] if word != "--only-show-errors"]
source, target = (pathlib.Path(word.removeprefix("file://")) for word in words[1:3])
if words[0] == "cp":
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, target)
else:
    rules = list(zip(words[3::2], words[4::2]))
    for file in filter(pathlib.Path.is_file, source.rglob("*")):
        name, taken = file.relative_to(source).as_posix(), True
        for rule, pattern in rules:
            if fnmatch.fnmatch(name, pattern):
                taken = rule == "--include"
        if taken:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target / name)
""",
        "runpodctl": """#!/bin/sh
echo "$@" >>"$TOLD"
[ -f "$TOLD.refuse" ] && rm "$TOLD.refuse" && exit 1
kill -TERM "$PPID"
""",
        "accelerate": f"""#!/usr/bin/env python3
import pathlib, shutil, sys, time, tomllib
words = dict(zip(sys.argv[5::2], sys.argv[6::2]))
config = tomllib.loads(pathlib.Path(words["--config_file"]).read_text())
output = pathlib.Path(words["--output_dir"])
print("steps: 50%", flush=True)
if config["learning_rate"] > 0.5:
    sys.exit("loss is NaN")
for name in ("-000001", "-000002", ""):
    shutil.copy(f"{GENUINE}/pixchar_a{{name}}.safetensors", output / f"{{words['--output_name']}}{{name}}.safetensors")
(output / "pixchar_a-state").mkdir()
shutil.copy(f"{GENUINE}/pixchar_a.safetensors", output / "pixchar_a-state" / "model.safetensors")
if config["learning_rate"] < 1e-8:
    time.sleep(60)
""",
    }.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return programs


def run_pod(env: dict[str, str], programs: Path, tmp_path: Path, **more: str) -> list[str]:
    """Run the start script as the pod would, to its end; return what it told RunPod."""
    told = tmp_path / "told"
    environment = {
        **os.environ,
        **env,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PIXEL_LORA_SD_SCRIPTS": str(tmp_path),
        "PIXEL_LORA_WORK": str(tmp_path / "work"),
        "PIXEL_LORA_UPLOAD_SECONDS": "0.1",
        "PIXEL_LORA_STOP_SECONDS": "0.1",
        "RUNPOD_POD_ID": "pod1",
        "TOLD": str(told),
        **more,
    }
    process = subprocess.Popen(["bash", str(START_SCRIPT)], env=environment, start_new_session=True)
    try:
        process.wait(20)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, 9)  # its watchdog sleeps on
    return told.read_text().splitlines()


@pytest.mark.skipif(os.name == "nt", reason="pods run Linux")
def test_the_start_script_trains_uploads_and_stops_its_own_pod(
    trainer: RunPodTrainer, runpod_server: RunPodServer, bucket: Path, folder: Path, pod_machine: Path, tmp_path: Path
) -> None:
    training = trainer.start(CONFIG, folder)
    pod = runpod_server.pods[training["pod_id"]]
    (tmp_path / "told.refuse").touch()
    assert run_pod(pod.env, pod_machine, tmp_path) == ["stop pod pod1", "pod stop pod1"], (
        "a stop that failed was not repeated"
    )
    assert json.loads((bucket / pod.name / "ended.json").read_text()) == {"exit_status": 0, "reason": "finished"}
    pod.status = "EXITED"
    state = looked(trainer, training)
    assert state.is_complete
    assert sorted(path.name for path in folder.glob("**/*.safetensors")) == [
        "pixchar_a-000001.safetensors",
        "pixchar_a-000002.safetensors",
        "pixchar_a.safetensors",
    ]
    before = (bucket / pod.name / "pixchar_a.safetensors").stat().st_mtime_ns
    assert run_pod(pod.env, pod_machine, tmp_path)[2:] == ["stop pod pod1"], "a container that restarts trains again"
    assert (bucket / pod.name / "pixchar_a.safetensors").stat().st_mtime_ns == before


@pytest.mark.skipif(os.name == "nt", reason="pods run Linux")
@pytest.mark.parametrize(
    ("learning_rate", "deadline", "reason"), [(1.0, "100", "failed"), (1e-9, "1", "deadline"), (1e-9, "0", "deadline")]
)
def test_a_training_that_fails_or_takes_too_long_stops_its_pod_too(
    trainer: RunPodTrainer,
    runpod_server: RunPodServer,
    bucket: Path,
    folder: Path,
    pod_machine: Path,
    tmp_path: Path,
    learning_rate: float,
    deadline: str,
    reason: str,
) -> None:
    training = trainer.start({**CONFIG, "learning_rate": learning_rate}, folder)
    pod = runpod_server.pods[training["pod_id"]]
    assert run_pod(pod.env, pod_machine, tmp_path, PIXEL_LORA_DEADLINE_SECONDS=deadline) == ["stop pod pod1"]
    assert json.loads((bucket / pod.name / "ended.json").read_text())["reason"] == reason


def test_the_record_of_a_training_holds_no_key(trainer: RunPodTrainer, folder: Path, bucket: Path) -> None:
    training = trainer.start(CONFIG, folder)
    written = [path.read_text() for path in (control_folder(folder) / "training.json", *bucket.rglob("*.toml"))]
    assert [text for text in [*written, json.dumps(training), repr(trainer)] if KEY in text] == []
