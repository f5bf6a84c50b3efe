"""Trainings by a checkout of sd-scripts: started once, followed, given up when they diverge, and stopped cleanly."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, DAGSTER_PIPES_MESSAGES_ENV_VAR, encode_param

from pixel_lora_pipeline.train import read_checkpoint
from pixel_lora_pipeline.train.trainers import LocalProcess, TrainerError, TrainingState, local_process
from pixel_lora_pipeline.train.trainers.kohya import KohyaCheckout, KohyaTrainer
from pixel_lora_pipeline.train.trainers.kohya.checkout import own_environment
from pixel_lora_pipeline_tests.train.kohya.checkouts import checkout, trainer
from pixel_lora_pipeline_tests.train.kohya.test_configuration import sprite

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")

NAME = "experiment_7"


@pytest.fixture
def sd_scripts(tmp_path: Path) -> Path:
    return checkout(tmp_path / "sd-scripts")


@pytest.fixture
def kohya(sd_scripts: Path) -> KohyaTrainer:
    return trainer(sd_scripts)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A training's own folder; whatever was started in it is gone afterwards."""
    folder = tmp_path / "trainings" / NAME
    yield folder
    if (training := LocalProcess.known(folder)) is not None:
        for process in local_process._processes(training):
            process.kill()


def config(tmp_path: Path, told: str = "", **options: Any) -> dict[str, Any]:
    """Four steps an epoch, three epochs; `told` is what the stand-in is told to do."""
    sprite(tmp_path / "data" / "8_sprites" / "a.png")
    (tmp_path / "base.safetensors").touch()
    return {
        "pretrained_model_name_or_path": str(tmp_path / "base.safetensors"),
        "train_data_dir": str(tmp_path / "data"),
        "caption_extension": ".txt",
        "resolution": "64,64",
        "train_batch_size": 2,
        "max_train_epochs": 3,
        "learning_rate": 1e-3,
        "output_name": NAME,
        "training_comment": told or None,
        **options,
    }


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def ended(kohya: KohyaTrainer, training: dict[str, Any]) -> TrainingState:
    until(lambda: not kohya.look(training).is_running)
    return kohya.look(training)


def reported(kohya: KohyaTrainer, training: dict[str, Any]) -> None:
    """Have it reported, as a run of Dagster does."""
    context = {"asset_keys": None, "run_id": "a run", "job_name": None, "retry_number": 0, "extras": {}}
    kohya.report(
        training,
        {
            DAGSTER_PIPES_CONTEXT_ENV_VAR: encode_param({"data": context}),
            DAGSTER_PIPES_MESSAGES_ENV_VAR: encode_param({"path": str(kohya.messages(training))}),
        },
    )


def messages(kohya: KohyaTrainer, training: dict[str, Any], method: str) -> list[dict[str, Any]]:
    path = kohya.messages(training)
    whole = path.read_text().rpartition("\n")[0] if path.is_file() else ""
    lines = [json.loads(line) for line in whole.splitlines()]
    return [line["params"] for line in lines if line["method"] == method]


def supervisors(folder: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if str(folder) in command and any(part.endswith("kohya.supervisor") for part in command):
            found.append(process)
    return found


def test_a_training_is_followed_from_its_start_to_its_last_epoch(
    kohya: KohyaTrainer, folder: Path, tmp_path: Path
) -> None:
    training = kohya.start(config(tmp_path, "seconds=0.02", lr_scheduler_num_cycles=3), folder)
    reported(kohya, training)
    state = ended(kohya, training)
    assert (state.is_complete, state.failure) == (True, None), (folder / "trainer" / "training.log").read_text()
    epochs = [read_checkpoint(path) for path in sorted(folder.glob("*.safetensors"))]
    assert sorted((epoch.run.name, epoch.epoch, epoch.step) for epoch in epochs) == [
        (NAME, 1, 4),
        (NAME, 2, 8),
        (NAME, 3, 12),
    ]
    assert epochs[0].parameters["lr_scheduler_num_cycles"].value == 3, "what no header says is not found beside them"
    until(lambda: messages(kohya, training, "closed"))
    last = messages(kohya, training, "report_custom_message")[-1]["payload"]
    assert {name: last[name] for name in ("epoch", "epochs", "step", "steps")} == {
        "epoch": 3,
        "epochs": 3,
        "step": 12,
        "steps": 12,
    }
    assert last["learning_rate"] == pytest.approx(1e-3) and 0 < last["loss"] <= 0.2
    assert "epoch 3/3, step 12/12, loss" in messages(kohya, training, "log")[-1]["message"]
    assert kohya.start({"nonsense": True}, folder)["pid"] == training["pid"], "it was started twice"


def test_a_training_whose_loss_is_no_number_is_given_up_within_a_few_steps(
    kohya: KohyaTrainer, folder: Path, tmp_path: Path
) -> None:
    training = kohya.start(config(tmp_path, "seconds=0.2 nan_from=5", max_train_epochs=100), folder)
    reported(kohya, training)
    state = ended(kohya, training)
    assert state.has_diverged and not state.is_complete
    assert state.failure is not None
    assert "no number since step 5 of 400 (epoch 2 of 100)" in state.failure
    assert "Lower learning_rate = 0.001" in state.failure
    until(lambda: messages(kohya, training, "closed"))
    said = messages(kohya, training, "log")
    assert [line["message"] for line in said if line["level"] == "ERROR"] == [f"{NAME}: {state.failure}"]
    steps = messages(kohya, training, "report_custom_message")[-1]["payload"]["step"]
    assert steps <= 5 + 3 + 5, f"it went on to step {steps}"


def test_a_training_goes_on_when_who_started_and_who_watches_it_are_killed_and_is_taken_over(
    kohya: KohyaTrainer, sd_scripts: Path, folder: Path, tmp_path: Path
) -> None:
    asked = config(tmp_path, f"wait_for={tmp_path / 'go'}")
    script = (
        "import json, sys, time, pathlib\n"
        "from pixel_lora_pipeline_tests.train.kohya import checkouts, test_trainer\n"
        "config, scripts, folder = sys.argv[1:]\n"
        "kohya = checkouts.trainer(pathlib.Path(scripts))\n"
        "training = kohya.start(json.loads(config), pathlib.Path(folder))\n"
        "test_trainer.reported(kohya, training)\n"
        "print('started', flush=True)\n"
        "time.sleep(600)\n"
    )
    starter = subprocess.Popen(
        [sys.executable, "-c", script, json.dumps(asked), str(sd_scripts), str(folder)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    )
    assert starter.stdout is not None and starter.stdout.readline() == b"started\n"
    training = LocalProcess.known(folder)
    assert training is not None
    until(lambda: messages(kohya, training, "report_custom_message"))
    for process in (starter, *supervisors(folder)):
        process.kill()
    starter.wait()
    until(lambda: not supervisors(folder))
    assert kohya.look(training).is_running
    told = len(kohya.messages(training).read_text().splitlines())
    with kohya.messages(training).open("a") as file:
        file.write('{"method": "lo')  # what one leaves that is killed while it writes
    reported(kohya, training)
    reported(kohya, training)  # of two, one ends at once
    until(lambda: len(messages(kohya, training, "report_custom_message")) > 1)
    until(lambda: len(supervisors(folder)) == 1)
    (tmp_path / "go").touch()
    assert ended(kohya, training).is_complete
    until(lambda: messages(kohya, training, "closed"))
    new = [json.loads(line)["method"] for line in kohya.messages(training).read_text().splitlines()[told:]]
    assert new[0] == "opened" and new[-1] == "closed"


def test_a_training_without_its_launcher_is_still_found_and_stopped(
    kohya: KohyaTrainer, folder: Path, tmp_path: Path
) -> None:
    training = kohya.start(config(tmp_path, f"wait_for={tmp_path / 'never'}"), folder)
    launcher = psutil.Process(training["pid"])
    until(lambda: "steps:" in (folder / "trainer" / "training.log").read_text())
    (script,) = launcher.children()
    launcher.kill()
    assert kohya.look(training).is_running
    kohya.stop(training)
    assert not kohya.look(training).is_running
    assert not script.is_running() or script.status() == psutil.STATUS_ZOMBIE
    kohya.stop(training)


def test_a_checkpoint_that_is_being_written_is_finished_before_a_training_is_stopped(
    kohya: KohyaTrainer, folder: Path, tmp_path: Path
) -> None:
    training = kohya.start(config(tmp_path, "seconds=0.1 save_seconds=0.5", max_train_epochs=50), folder)
    first = folder / f"{NAME}-000001.safetensors"
    until(first.is_file)
    kohya.stop(training)
    assert read_checkpoint(first).epoch == 1
    assert len(list(folder.glob("*.safetensors"))) == 1, "it was not stopped then"


def test_a_training_that_does_not_end_when_it_is_asked_is_killed(
    kohya: KohyaTrainer, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_process, "_GRACE_SECONDS", 0.3)
    training = kohya.start(config(tmp_path, f"hang=1 wait_for={tmp_path / 'never'}"), folder)
    until(lambda: "steps:" in (folder / "trainer" / "training.log").read_text())
    kohya.stop(training)
    assert not kohya.look(training).is_running


@pytest.mark.parametrize(
    ("told", "options", "said"),
    [
        ("fails_at=2", {}, "MemoryError: CUDA out of memory"),
        ("", {"wandb_run_name": "x"}, "error: unrecognized arguments: --wandb_run_name"),
    ],
)
def test_a_training_that_fails_says_why_in_kohyas_words_and_not_in_its_launchers(
    told: str, options: dict[str, Any], said: str, kohya: KohyaTrainer, folder: Path, tmp_path: Path
) -> None:
    training = kohya.start(config(tmp_path, told, **options), folder)
    state = ended(kohya, training)
    assert state.failure is not None and said in state.failure
    assert not state.has_diverged


def test_the_real_accelerate_starts_it_too(sd_scripts: Path, folder: Path, tmp_path: Path) -> None:
    python = sd_scripts / "venv" / "bin" / "python"
    own = f":{Path(__file__).parent / 'environment'}"
    assert own in python.read_text()
    python.write_text(python.read_text().replace(own, ""))
    arguments = ("--num_cpu_threads_per_process=1", "--num_processes=1", "--cpu")
    kohya = KohyaTrainer(KohyaCheckout(sd_scripts, accelerate_arguments=arguments), lambda _: False)
    training = kohya.start(config(tmp_path, max_train_epochs=1), folder)
    assert ended(kohya, training).is_complete, (folder / "trainer" / "training.log").read_text()


def test_what_is_missing_is_said_with_what_to_do_before_anything_is_written(folder: Path, tmp_path: Path) -> None:
    asked = config(tmp_path)
    (tmp_path / "empty").mkdir()
    without_python = checkout(tmp_path / "without python")
    (without_python / "venv" / "bin" / "python").unlink()
    for where, said in (
        (KohyaCheckout(None), "set folder in the table [kohya]"),
        (KohyaCheckout(tmp_path / "nowhere"), "there is no such folder; name your checkout"),
        (KohyaCheckout(tmp_path / "empty"), "train_network.py is not there"),
        (KohyaCheckout(without_python), "set python in the table [kohya]"),
        (KohyaCheckout(without_python, tmp_path / "python"), "cannot be run"),
        (KohyaCheckout(checkout(tmp_path / "bare", with_accelerate=False)), "has no accelerate"),
        (KohyaCheckout(checkout(tmp_path / "other"), script="flux_train_network.py"), "flux_train_network.py is not"),
    ):
        with pytest.raises(TrainerError, match=said.replace("[", r"\[")):
            KohyaTrainer(where, lambda _: False).start(asked, folder)
    assert not folder.exists()


def test_sdxl_is_trained_by_its_own_script(sd_scripts: Path, folder: Path, tmp_path: Path) -> None:
    kohya = KohyaTrainer(KohyaCheckout(sd_scripts), lambda model: model.endswith("base.safetensors"))
    training = kohya.start(config(tmp_path, f"wait_for={tmp_path / 'never'}"), folder)
    process, deadline = psutil.Process(training["pid"]), time.monotonic() + 10
    while not process.cmdline() and time.monotonic() < deadline:  # between its fork and its program it has none
        time.sleep(0.01)
    assert str(sd_scripts / "sdxl_train_network.py") in process.cmdline()


def test_scripts_of_others_are_not_given_our_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody:secret@host/db")
    monkeypatch.setenv("PIXEL_LORA_LOGIN_PASSWORD", "secret")
    monkeypatch.setenv("PYTHONPATH", "/ours")
    assert not {"DATABASE_URL", "PIXEL_LORA_LOGIN_PASSWORD", "PYTHONPATH"} & own_environment().keys()
