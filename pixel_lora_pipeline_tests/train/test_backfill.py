"""What old folders tell of their trainings."""

import shutil
from pathlib import Path

import pytest

from pixel_lora_pipeline.train import BackfillError, RunFiles, read_run_files
from pixel_lora_pipeline_tests.train.lora_files import KOHYA_SAMPLES, kohya_tensors, sample_folder, write_kohya


def by_name(found: list[RunFiles]) -> dict[str, RunFiles]:
    assert len({run.name for run in found}) == len(found)
    return {run.name: run for run in found}


def test_genuine_folders_are_read_run_by_run() -> None:
    found = read_run_files([KOHYA_SAMPLES])
    assert [run.name for run in found] == ["pixchar_a", "pixchar_diverge", "pixchar_lokr"], "not as they were started"
    a = found[0]
    assert [checkpoint.epoch for checkpoint in a.checkpoints] == [1, 2, 3]
    assert a.refused == ()
    assert {path.name for path in a.configs} == {"run_a.toml", "run_a_dataset.toml"}


def test_of_files_that_cannot_be_evaluated_the_training_is_known_all_the_same() -> None:
    runs = by_name(read_run_files([KOHYA_SAMPLES]))
    diverged = runs["pixchar_diverge"]
    assert diverged.checkpoints == ()
    assert "NaN or infinity" in diverged.refused[0].fault
    assert diverged.parameters["learning_rate"].value == 5


def test_of_a_lokr_everything_is_known_too() -> None:
    lokr = by_name(read_run_files([KOHYA_SAMPLES]))["pixchar_lokr"]
    assert (len(lokr.checkpoints), lokr.refused) == (1, ())
    facts = {name: lokr.parameters[name] for name in ("algo", "factor", "lr_scheduler_num_cycles", "alpha_per_rank")}
    assert {name: (found.value, found.source) for name, found in facts.items()} == {
        "algo": ("lokr", "header"),
        "factor": ("4", "header"),
        "lr_scheduler_num_cycles": (2, "sidecar"),
        "alpha_per_rank": (0.5, "tensors"),
    }


def test_a_run_whose_checkpoints_are_gone_is_known_by_its_configuration(tmp_path: Path) -> None:
    folder = sample_folder("run_a", tmp_path)
    for path in folder.glob("*.safetensors"):
        path.unlink()
    (run,) = read_run_files([tmp_path])
    assert (run.name, run.run, run.checkpoints) == ("pixchar_a", None, ())
    values = {name: found.value for name, found in run.parameters.items()}
    assert (values["network_dim"], values["caption_extension"], values["keep_tokens"]) == (4, ".txt", [1, 2])
    assert values["alpha_per_rank"] == 0.25
    assert "no checkpoint of the run was found" in run.missing["session_id"]
    assert "run_a.toml" in run.missing["session_id"]
    assert not {"epoch", "steps", "training_finished_at"} & run.missing.keys()


def test_a_truncated_file_is_counted_with_its_run(tmp_path: Path) -> None:
    folder = sample_folder("run_a", tmp_path)
    broken = folder / "pixchar_a-000002.safetensors"
    broken.write_bytes(broken.read_bytes()[:-100])
    (run,) = read_run_files([tmp_path])
    assert [checkpoint.epoch for checkpoint in run.checkpoints] == [1, 3]
    assert [error.path.name for error in run.refused] == ["pixchar_a-000002.safetensors"]


def test_a_run_of_which_only_a_torso_is_left_has_its_name_and_configuration(tmp_path: Path) -> None:
    (tmp_path / "sprite-000001.safetensors").write_bytes(b"\x00" * 10)
    shutil.copy(KOHYA_SAMPLES / "run_diverge" / "run_diverge.toml", tmp_path)
    text = (tmp_path / "run_diverge.toml").read_text().replace("pixchar_diverge", "sprite")
    (tmp_path / "run_diverge.toml").write_text(text)
    (run,) = read_run_files([tmp_path])
    assert (run.name, run.run, len(run.refused)) == ("sprite", None, 1)
    assert run.parameters["network_dim"].value == 8


def test_single_files_and_overlapping_folders_are_read_once(tmp_path: Path) -> None:
    folder = sample_folder("run_a", tmp_path)
    seen: list[tuple[int, int]] = []
    file = folder / "pixchar_a-000001.safetensors"
    (run,) = read_run_files([tmp_path, folder, file], lambda done, total: seen.append((done, total)))
    assert len(run.checkpoints) == 3
    assert seen == [(1, 3), (2, 3), (3, 3)]
    (alone,) = read_run_files([file])
    assert [checkpoint.epoch for checkpoint in alone.checkpoints] == [1]


def test_a_runs_parameters_are_those_of_its_furthest_file(tmp_path: Path) -> None:
    for epoch, comment in ((3, "early"), (8, "late"), (5, "middle")):
        path = tmp_path / f"portrait-{epoch:06d}.safetensors"
        write_kohya(path, kohya_tensors(), ss_epoch=str(epoch), ss_training_comment=comment)
    (run,) = read_run_files([tmp_path])
    assert run.parameters["training_comment"].value == "late"


def test_states_and_links_out_of_the_folder_are_left_alone(tmp_path: Path) -> None:
    outside = sample_folder("run_a", tmp_path / "outside")
    inside = tmp_path / "inside"
    (inside / "x-000001-state").mkdir(parents=True)
    shutil.copy(outside / "pixchar_a.safetensors", inside / "x-000001-state" / "model.safetensors")
    (inside / "linked").symlink_to(outside)
    assert read_run_files([inside]) == []


@pytest.mark.parametrize(("name", "said"), [("nowhere", "is not there"), ("notes.csv", "--observations")])
def test_a_path_that_cannot_be_read_back_is_named(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("run\n")
    with pytest.raises(BackfillError, match=rf"{name}.*{said}"):
        read_run_files([tmp_path / name])
