"""Reports, grids and releases from what is stored of a run, and the commands that make them."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from pixel_lora_pipeline.promotion import promote
from pixel_lora_pipeline.run_evaluations import read_run
from pixel_lora_pipeline.run_grid import grid_of_run, grid_requests
from pixel_lora_pipeline.run_reports import (
    issues_by_epoch,
    judge,
    recommendations,
    report_folder,
    write_epoch_report,
    write_run_report,
)
from pixel_lora_pipeline.store import NothingEvaluatedError, ReleaseFolder, RowId, Store, TestImage, UnknownRunError
from pixel_lora_pipeline.store.images import Purpose
from pixel_lora_pipeline.validate import METRICS_VERSION, ImageMeasurement, rollup
from pixel_lora_pipeline_tests.analyze.paintings import Quality, painted
from pixel_lora_pipeline_tests.analyze.reports import a_verdict
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint
from pixel_lora_pipeline_tests.test_cli import pixel_lora
from pixel_lora_pipeline_tests.validate.test_contact_sheet import decoded

PROMPTS = 6
LIBRARIES = {"torch": "2.13", "diffusers": "0.42"}


def store_images(
    store: Store,
    epoch_id: RowId | None,
    quality: Quality,
    lora: Mapping[str, object] | None,
    purpose: Purpose = "evaluation",
) -> None:
    """What generation and measuring leave behind."""
    images = [painted(number, quality) for number in range(PROMPTS)]
    store.images.add(
        epoch_id,
        [
            TestImage(
                suite_name="portraits",
                suite_version="3f9a",
                prompt_id=image.prompt_id,
                prompt=image.prompt,
                negative_prompt="",
                seed=image.seed,
                width=64,
                height=64,
                fingerprint={
                    "base": "b" * 64,
                    "lora": lora,
                    "prompt": image.prompt,
                    "seed": image.seed,
                    "steps": 15,
                    "guidance": 2.0,
                    "device": "cpu",
                    "precision": "float32",
                    "versions": LIBRARIES,
                },
                png=image.png,
                fault=image.fault,
                purpose=purpose,
            )
            for image in images
        ],
    )
    metrics = {image.prompt: image.metrics for image in images}
    rows = store.images.of_epoch(epoch_id, purpose=purpose)
    store.images.set_metrics({row.id: found for row in rows if (found := metrics[row.prompt])}, METRICS_VERSION)
    measured = [ImageMeasurement.from_dict(image.metrics) for image in images if image.metrics]
    if epoch_id is not None and purpose == "evaluation":
        store.epochs.record_evaluation(epoch_id, rollup(measured, [image.prompt_id for image in images]))


def evaluated(store: Store, folder: Path, epoch: int, quality: Quality, run: str = "portraits") -> RowId:
    checkpoint = save_checkpoint(folder, epoch, run=run, session=str(len(run)), weight=epoch / 8)
    epoch_id = store.checkpoints.register(checkpoint)
    store_images(store, epoch_id, quality, {"sha256": checkpoint.sha256, "strength": 0.8})
    return epoch_id


@pytest.fixture
def run(store: Store, tmp_path: Path) -> list[RowId]:
    """Three epochs of a run, images of the base model, and nothing in production."""
    store_images(store, None, "photo", None)
    return [evaluated(store, tmp_path, n, q) for n, q in enumerate(("photo", "wrong background", "sprite"), start=1)]


def test_the_report_of_an_epoch_shows_the_run_as_it_stood_then(store: Store, run: list[RowId], tmp_path: Path) -> None:
    path = write_epoch_report(store, tmp_path / "reports", read_run(store, "portraits", 2), verdict=None)
    assert path == tmp_path / "reports" / "portraits" / "epoch_2_report.html"
    document = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert [row["epoch"] for row in document["progress"]] == [1, 2]
    states = {issue["issue"]: issue["state"] for issue in document["issues"]}
    assert states["wrong_background"] == "new"
    assert document["comparisons"]["without_lora"]["verdict"] == "better"
    assert document["comparisons"]["baseline"] is None
    assert document["made"]["LoRA strength"] == "0.8"
    assert document["made"]["Baseline"] == "none promoted"
    assert "torch 2.13" in document["made"]["Libraries"]
    assert read_run(store).last.epoch_id == run[2]
    with store.database.connection() as connection:
        row = connection.execute("SELECT report FROM epoch_results WHERE id = %s", (run[1],)).fetchone()
    assert row == {"report": str(path)}


def test_the_report_of_a_run_has_its_grid_and_the_reports_that_there_are(
    store: Store, run: list[RowId], tmp_path: Path
) -> None:
    assert len(run) == 3
    verdict = a_verdict((30.0, 50.0, 90.0))
    write_epoch_report(store, tmp_path, read_run(store, "portraits", 1), verdict=None)
    path = write_run_report(store, tmp_path, read_run(store, "portraits"), verdict=verdict)
    document = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert document["epoch_reports"] == {"1": "epoch_1_report.html"}
    assert document["best_epoch"] == 3
    assert document["recommendations"] == ["Promote epoch 3: there is no baseline yet."]
    assert "Epochs and prompts" in path.read_text(encoding="utf-8")


def test_issues_are_told_for_each_epoch_as_it_stood(store: Store, run: list[RowId]) -> None:
    found = issues_by_epoch(read_run(store, "portraits"))
    store.conclusions.record_issues(found)
    states = [{issue["issue"]: issue["state"] for issue in found[epoch_id]}.get("photorealism") for epoch_id in run]
    assert states[0] == "new"
    assert states[2] in ("resolving", "resolved")


def test_a_promoted_epoch_is_what_later_ones_are_compared_with(store: Store, run: list[RowId], tmp_path: Path) -> None:
    baseline = promote(store, ReleaseFolder(tmp_path / "releases"), "portraits", 2, "ada")
    assert baseline.epoch_id == run[1]
    card = (Path(baseline.release_folder) / "README.md").read_text(encoding="utf-8")
    assert "Recommended strength: 0.8" in card
    assert baseline.checkpoint.read_bytes() == (tmp_path / "portraits-000002.safetensors").read_bytes()
    later = read_run(store, "portraits", 3)
    assert later.baseline_name == "portraits, epoch 2"
    assert recommendations(later, a_verdict((30.0, 50.0, 90.0))) == ["Promote epoch 3: it is better than the baseline."]
    assert read_run(store, "portraits", 2).baseline == (), "the baseline is not compared with itself"


def test_an_epoch_whose_file_changed_is_not_promoted(store: Store, run: list[RowId], tmp_path: Path) -> None:
    assert run
    (tmp_path / "portraits-000002.safetensors").write_bytes(b"retrained")
    with pytest.raises(OSError, match="not the file that was evaluated"):
        promote(store, ReleaseFolder(tmp_path / "releases"), "portraits", 2, "ada")
    assert store.baselines.current() is None


def test_the_grid_has_rows_for_base_model_baseline_and_epochs(store: Store, run: list[RowId], tmp_path: Path) -> None:
    assert len(run) == 3
    without = decoded(grid_of_run(store, read_run(store)))
    promote(store, ReleaseFolder(tmp_path / "releases"), "portraits", 2, "ada")
    height = decoded(grid_of_run(store, read_run(store))).shape[0]
    assert height - without.shape[0] == 128 + 4, "one row more"
    requests = grid_requests(read_run(store))
    assert [(r.prompt_id, r.steps, r.guidance, r.width) for r in requests][:1] == [("prompt_00", 15, 2.0, 64)]
    assert len(requests) == PROMPTS


def at_strength(store: Store, epoch_id: RowId, strength: float, quality: Quality) -> None:
    store_images(store, epoch_id, quality, {"sha256": "c" * 64, "strength": strength}, purpose="strength")


def test_other_strengths_stand_in_the_grid_and_in_both_reports(store: Store, run: list[RowId], tmp_path: Path) -> None:
    before = decoded(grid_of_run(store, read_run(store)))
    path = write_run_report(store, tmp_path, read_run(store), verdict=None)
    assert "Other strengths" not in path.read_text(encoding="utf-8"), "an empty section"
    at_strength(store, run[1], 0.4, "photo")
    at_strength(store, run[2], 1.2, "blurred")
    evaluations = read_run(store)
    assert {epoch: list(strengths) for epoch, strengths in evaluations.strengths.items()} == {2: [0.4], 3: [1.2]}
    after = decoded(grid_of_run(store, evaluations))
    assert after.shape[0] - before.shape[0] == 2 * (128 + 4) + 2 * 8, "two rows, and each epoch with its own apart"

    path = write_run_report(store, tmp_path, evaluations, verdict=None)
    document = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    told = [(row["epoch"], row["strength"], row["evaluated_at"], row["verdict"]) for row in document["strengths"]]
    assert told == [(2, 0.4, 0.8, "worse"), (3, 1.2, 0.8, "worse")]
    assert all(row["n_prompts"] == PROMPTS for row in document["strengths"])
    assert "Other strengths of the LoRA" in path.read_text(encoding="utf-8")
    page = write_epoch_report(store, tmp_path, evaluations, verdict=None)
    document = json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))
    assert [(row["epoch"], row["strength"]) for row in document["strengths"]] == [(3, 1.2)]


def test_other_strengths_change_nothing_of_what_is_concluded(store: Store, run: list[RowId]) -> None:
    def concluded() -> list[object]:
        evaluations = read_run(store)
        return [evaluations.images, issues_by_epoch(evaluations), judge(evaluations), store.analyses.due()]

    before = concluded()
    at_strength(store, run[2], 0.1, "photo")
    assert concluded() == before


def test_what_is_not_evaluated_is_named_with_what_is(store: Store, run: list[RowId], tmp_path: Path) -> None:
    assert run
    with pytest.raises(
        NothingEvaluatedError, match=r"epoch 7 of portraits is not evaluated. Evaluated are \[1, 2, 3\]"
    ):
        read_run(store, "portraits", 7)
    store.checkpoints.register(save_checkpoint(tmp_path, 1, run="sprites", session="9"))
    with pytest.raises(NothingEvaluatedError, match="no epoch of sprites"):
        read_run(store, "sprites")
    with pytest.raises(UnknownRunError):
        read_run(store, "portrats")


@pytest.mark.parametrize(
    "name",
    ["../../etc", "..", ".", "", "a/b", "C:\\x", "con", "NUL", "com1", "x" * 500, "\u202e.exe", "a\x00b", "<b>", "ünï"],
)
def test_no_name_of_a_run_leads_out_of_the_folder_or_is_refused_by_a_file_system(name: str, tmp_path: Path) -> None:
    folder = report_folder(tmp_path, name)
    assert folder.parent == tmp_path
    assert folder.name.isascii()
    assert folder.name.lower() not in ("con", "nul", "com1", "", ".", "..")
    assert len(folder.name) < 100
    folder.mkdir()


def test_similar_names_have_folders_of_their_own(tmp_path: Path) -> None:
    assert len({report_folder(tmp_path, name) for name in ("a b", "a-b", "a/b", "a_b")}) == 4
    assert report_folder(tmp_path, "SD15_PERFECT") == tmp_path / "SD15_PERFECT"


def test_the_commands_report_promote_and_take_back(store: Store, run: list[RowId], tmp_path: Path) -> None:
    assert run
    home = {"DATABASE_URL": store.database.url, "PIXEL_LORA_HOME": str(tmp_path)}
    written = pixel_lora("report", "portraits", "3", **home)
    assert written.returncode == 0, written.stderr
    assert Path(written.stdout.strip()) == tmp_path / "reports" / "portraits" / "epoch_3_report.html"
    assert pixel_lora("report", **home).stdout.strip().endswith("run_report.html")
    promoted = pixel_lora("promote", "portraits", "2", **home)
    assert promoted.returncode == 0, promoted.stderr
    assert "In production: portraits, epoch 2" in promoted.stdout
    undone = pixel_lora("promote", "--undo", **home)
    assert "Taken back: portraits, epoch 2. No checkpoint is in production." in undone.stdout
    nothing = pixel_lora("promote", "--undo", **home)
    assert nothing.returncode == 1
    assert "nothing to take back" in nothing.stderr
    assert "Traceback" not in nothing.stderr
    assert pixel_lora("report", "portraits", "9", **home).returncode == 1
