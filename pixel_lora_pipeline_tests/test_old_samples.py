"""Images that trainers left of their sample prompts become results of their epochs, apart from every evaluation."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from pixel_lora_pipeline.backfilling import backfill
from pixel_lora_pipeline.remeasuring import remeasure
from pixel_lora_pipeline.run_evaluations import read_run
from pixel_lora_pipeline.store import NothingEvaluatedError, RowId, Store, StoredImage
from pixel_lora_pipeline.store.epochs import samples_version
from pixel_lora_pipeline.training_history import read_history
from pixel_lora_pipeline.validate import METRICS_VERSION, load_suite
from pixel_lora_pipeline_tests.analyze.paintings import Quality, painted, portrait_of
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint
from pixel_lora_pipeline_tests.store.test_checkpoints import rows
from pixel_lora_pipeline_tests.test_backfilling import everything
from pixel_lora_pipeline_tests.test_cli import pixel_lora
from pixel_lora_pipeline_tests.test_run_reports import store_images

RUN = "portraits"
PROMPTS = 3


def paint(folder: Path, epoch: int, quality: Quality = "sprite", time: str = "20251110150301", seed: int = 42) -> None:
    """What Kohya's trainer leaves after an epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(PROMPTS):
        name = f"{RUN}_e{epoch:06d}_{number:02d}_{time}_{seed}.png"
        (folder / name).write_bytes(painted(number, quality).png)


def write_prompts(path: Path, seed: int = 42) -> None:
    path.write_text("".join(f"{portrait_of(number)[1]} --w 64 --h 64 --d {seed}\n" for number in range(PROMPTS)))


@pytest.fixture
def old_run(tmp_path: Path) -> Path:
    """A run of two epochs with a checkpoint of the second, and samples of both: the first has wrong backgrounds."""
    folder = tmp_path / "old"
    save_checkpoint(folder, 2, run=RUN)
    paint(folder / "sample", 1, "wrong background")
    paint(folder / "sample", 2)
    write_prompts(folder / "sample" / "prompt.txt")
    return folder


def epoch_ids(store: Store) -> dict[int, RowId]:
    return {row.epoch: row.epoch_id for row in store.epochs.table(RUN) if row.epoch is not None}


def samples_of(store: Store, epoch: int) -> list[StoredImage]:
    return store.images.of_epoch(epoch_ids(store)[epoch], purpose="sample")


def test_old_samples_are_measured_against_their_prompts(store: Store, old_run: Path) -> None:
    done = backfill(store, [old_run])
    assert done.problems == ()
    assert [(samples.run_name, samples.added, samples.n_known) for samples in done.samples] == [(RUN, {1: 3, 2: 3}, 0)]
    wrong, right = (
        [image.metrics["color_accuracy"]["background_accuracy"] for image in samples_of(store, epoch) if image.metrics]
        for epoch in (1, 2)
    )
    assert max(wrong) < 50 < 90 < min(right), f"{wrong} and {right}"
    rollups = {row.epoch: row.quantitative_metrics for row in store.epochs.table(RUN)}
    assert {epoch: metrics and metrics["n_images"] for epoch, metrics in rollups.items()} == {1: 3, 2: 3}
    sheets = [row.contact_sheet for row in store.epochs.table(RUN)]
    assert all(sheet and Path(sheet).is_file() for sheet in sheets)


def test_they_are_marked_and_no_evaluation(store: Store, old_run: Path) -> None:
    backfill(store, [old_run])
    (image, *_) = samples_of(store, 2)
    assert image.suite_name == "kohya samples"
    metrics = store.epochs.metrics(epoch_ids(store)[2])
    assert metrics["metrics_version"] == f"{METRICS_VERSION} on the trainer's samples {image.suite_version}"
    assert samples_version(metrics) == image.suite_version
    assert store.images.of_epoch(epoch_ids(store)[2]) == []
    assert store.analyses.due() == [], "the analysis of the run has nothing to go on"
    statuses = {
        row["epoch_number"]: row["evaluation_status"] for row in rows(store.database, "SELECT * FROM epoch_results")
    }
    assert statuses == {1: None, 2: "registered"}
    with pytest.raises(NothingEvaluatedError, match="no images"):
        read_run(store, RUN)


def test_what_the_suite_measured_stays_and_replaces_them(store: Store, old_run: Path) -> None:
    backfill(store, [old_run])
    store_images(store, epoch_ids(store)[2], "photo", None)
    evaluated = store.epochs.metrics(epoch_ids(store)[2])
    assert samples_version(evaluated) is None
    paint(old_run / "sample", 2, "blurred", time="20251110160000")
    done = backfill(store, [old_run])
    assert [samples.added for samples in done.samples] == [{2: 3}]
    assert store.epochs.metrics(epoch_ids(store)[2]) == evaluated
    images = read_run(store, RUN).images[2]
    assert {image.suite_name for image in images} == {"portraits"}


def test_a_second_time_changes_nothing_and_a_dry_run_neither(store: Store, old_run: Path) -> None:
    empty = everything(store.database)
    tried = backfill(store, [old_run], dry_run=True)
    assert everything(store.database) == empty
    done = backfill(store, [old_run])
    assert [samples.added for samples in tried.samples] == [samples.added for samples in done.samples]
    before = everything(store.database)
    for dry_run in (True, False):
        again = backfill(store, [old_run], dry_run=dry_run)
        assert [(samples.added, samples.n_known) for samples in again.samples] == [({}, 6)]
        assert [run.changes for run in again.runs] == [()]
        assert everything(store.database) == before


def test_learning_compares_them_with_nothing_else(store: Store, old_run: Path, tmp_path: Path) -> None:
    backfill(store, [old_run])
    for name in ("one", "two"):
        epoch_id = store.checkpoints.register(save_checkpoint(tmp_path / name, 2, run=name, session=name))
        store_images(store, epoch_id, "sprite", None)
    with store.database.connection() as connection:
        connection.execute("UPDATE training_runs SET quality_score = 8")
    history = read_history(store)
    known = history.runs.set_index("run_name")["overall_score"].notna()
    assert known.to_dict() == {RUN: False, "one": True, "two": True}
    assert [version.partition(" on ")[1:2] for version in history.left_out] == [(" on ",)]
    one = store.conclusions.run("one").run_id
    assert sorted(map(len, store.analyses.past_curves(one))) == [1, 2]
    store_images(store, epoch_ids(store)[2], "sprite", None)
    assert sorted(map(len, store.analyses.past_curves(one))) == [1, 1, 1], "a course of two kinds of images"


def test_old_samples_are_measured_again_by_a_new_version(store: Store, old_run: Path) -> None:
    backfill(store, [old_run])
    ids = {image.id: image.metrics for image in samples_of(store, 1)}
    old = {id_: {**metrics, "metrics_version": "0"} for id_, metrics in ids.items() if metrics}
    store.images.set_metrics(old, "0")
    done = remeasure(store, load_suite(None), RUN)
    assert (done.images, done.epochs, done.skipped) == (3, 1, [])
    assert {image.metrics_version for image in samples_of(store, 1)} == {METRICS_VERSION}
    assert samples_version(store.epochs.metrics(epoch_ids(store)[1]))


def test_of_a_training_that_was_begun_again_the_last_samples_count(store: Store, old_run: Path) -> None:
    paint(old_run / "sample", 1, "sprite", time="20251111090000")
    backfill(store, [old_run])
    metrics = [image.metrics for image in samples_of(store, 1)]
    assert len(metrics) == PROMPTS
    assert all(found and found["color_accuracy"]["background_accuracy"] > 90 for found in metrics)


def test_steps_are_epochs_where_an_epoch_ends(store: Store, old_run: Path) -> None:
    header = {"ss_steps": "200", "ss_epoch": "2", "ss_num_epochs": "2"}
    save_checkpoint(old_run, 2, run=RUN, header=header)
    for path in (old_run / "sample").glob("*_e000002_*"):
        path.rename(path.with_name(path.name.replace("_e000002_", "_000200_")))
    (old_run / "sample" / f"{RUN}_000150_00_20251110150301_42.png").write_bytes(painted(0).png)
    done = backfill(store, [old_run])
    assert [samples.added for samples in done.samples] == [{1: 3, 2: 3}]
    assert [problem.partition(": ")[2] for problem in done.problems] == [
        "they were painted at a step at which no epoch is known to end."
    ]


@pytest.mark.parametrize("fault", ["no prompts", "too few prompts", "another seed", "no run", "epoch 0", "bad prompts"])
def test_what_belongs_to_nothing_is_reported_and_left_out(fault: str, store: Store, old_run: Path) -> None:
    prompts = old_run / "sample" / "prompt.txt"
    said = {
        "no prompts": "put it there as prompt.txt",
        "too few prompts": "has only 1 prompts",
        "another seed": "has another seed than their names",
        "no run": "are of a run called landscapes",
        "epoch 0": "before the first epoch",
        "bad prompts": "cannot be read as sample prompts",
    }[fault]
    match fault:
        case "no prompts":
            prompts.unlink()
        case "too few prompts":
            prompts.write_text("a portrait\n")
        case "another seed":
            write_prompts(prompts, seed=7)
        case "no run":
            (old_run / "sample" / "landscapes_e000001_00_20251110150301.png").write_bytes(painted(0).png)
        case "epoch 0":
            paint(old_run / "sample", 0)
        case "bad prompts":
            prompts.write_bytes(b"\xff\xff")
    done = backfill(store, [old_run])
    assert len(done.problems) == 1
    assert said in done.problems[0]
    stored = rows(store.database, "SELECT * FROM prompt_test_results")
    assert len(stored) == {"no run": 6, "epoch 0": 6, "too few prompts": 2}.get(fault, 0)


@pytest.mark.parametrize("content", [b"", b"no picture", painted(0).png[:300]])
def test_an_image_that_cannot_be_read_is_named_and_the_others_are_measured(
    content: bytes, store: Store, old_run: Path
) -> None:
    broken = old_run / "sample" / f"{RUN}_e000001_01_20251110150301_42.png"
    broken.write_bytes(content)
    done = backfill(store, [old_run])
    assert [samples.added for samples in done.samples] == [{1: 2, 2: 3}]
    assert len(done.problems) == 1
    assert str(broken) in done.problems[0]


def test_a_run_of_which_only_samples_and_a_note_are_left_gets_its_evaluation(store: Store, old_run: Path) -> None:
    (old_run / f"{RUN}-000002.safetensors").unlink()
    assert "are of a run called portraits" in backfill(store, [old_run]).problems[0]
    notes = old_run / "notes.csv"
    notes.write_text(f"run,quality_score\n{RUN},8\n")
    done = backfill(store, [old_run], [notes])
    assert done.problems == ()
    assert [row.epoch for row in store.epochs.table(RUN) if row.quantitative_metrics] == [1, 2]


def test_the_command_says_what_it_did_and_would_do(store: Store, old_run: Path, tmp_path: Path) -> None:
    home = {"DATABASE_URL": store.database.url, "PIXEL_LORA_HOME": str(tmp_path / "home")}
    tried = pixel_lora("backfill", str(old_run), "--dry-run", **home)
    assert "6 sample images would be measured, of epochs 1, 2" in tried.stdout, tried.stderr
    document = json.loads(pixel_lora("backfill", str(old_run), "--json", **home).stdout)
    assert document["samples"] == [{"run_name": RUN, "added": {"1": 3, "2": 3}, "n_known": 0, "problems": []}]
    assert "6 sample images are measured already" in pixel_lora("backfill", str(old_run), **home).stdout


@pytest.mark.parametrize("place", ["sample/prompt.json", "prompts.toml", "sample_prompts.json"])
def test_a_file_of_prompts_is_taken_for_no_configuration(place: str, store: Store, old_run: Path) -> None:
    (old_run / "sample" / "prompt.txt").unlink()
    prompts = [portrait_of(number)[1] for number in range(PROMPTS)]
    subsets = "".join(f"[[prompt.subset]]\nprompt = {json.dumps(prompt)}\n" for prompt in prompts)
    (old_run / place).write_text(json.dumps(prompts) if place.endswith("json") else f"[prompt]\nseed = 42\n{subsets}")
    done = backfill(store, [old_run])
    assert done.problems == ()
    assert [samples.added for samples in done.samples] == [{1: 3, 2: 3}]


def test_pictures_of_any_mode_are_stored_as_png(store: Store, old_run: Path) -> None:
    path = old_run / "sample" / f"{RUN}_e000002_00_20251110150301_42.png"
    buffer = io.BytesIO()
    Image.open(path).convert("P", palette=Image.Palette.ADAPTIVE).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())
    backfill(store, [old_run])
    assert all(image.metrics for image in samples_of(store, 2))
