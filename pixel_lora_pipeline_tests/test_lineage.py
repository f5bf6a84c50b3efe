"""Lineage from real files to the database: whatever is found first, and whatever the files claim."""

import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from pixel_lora_pipeline.defs.improve.metadata import proposals_metadata
from pixel_lora_pipeline.defs.train.lineage_metadata import lineage_metadata
from pixel_lora_pipeline.embedded.kohya_file import epoch_file_name, save_checkpoint
from pixel_lora_pipeline.embedded.kohya_header import checkpoint_header
from pixel_lora_pipeline.improving import propose
from pixel_lora_pipeline.lineage import family, gain_over_parent, runs_from, trace_lineage
from pixel_lora_pipeline.store import LineageError, RowId, RunOrigin, Store, UnknownRunError
from pixel_lora_pipeline.train import read_checkpoint
from pixel_lora_pipeline.training_history import read_history
from pixel_lora_pipeline_tests.command_line import pixel_lora
from pixel_lora_pipeline_tests.lab.example_run import add_run, painted, rollup
from pixel_lora_pipeline_tests.lab.server import served
from pixel_lora_pipeline_tests.train.lora_files import RUN_METADATA, kohya_tensors

BEGAN = 1_750_000_000.0


class Trainings:
    """Writes trainings as Kohya does: one folder each, every epoch saved a minute after the one before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._n = 0

    def train(
        self, name: str, start: Path | str | None = None, *, epochs: range = range(1, 4), **header: str
    ) -> list[Path]:
        """Its checkpoints; the configuration beside them names what it started from."""
        self._n += 1
        folder, began = self.folder / f"{self._n}-{name}", BEGAN + 10_000 * self._n
        folder.mkdir()
        metadata = RUN_METADATA | {
            "ss_session_id": str(self._n),
            "ss_training_started_at": str(began),
            "ss_output_name": name,
            "ss_sd_model_name": "base.safetensors",
            "ss_sd_model_hash": "aabbccdd",
            "ss_num_train_images": "20",
            "ss_dataset_dirs": '{"portraits": {"n_repeats": 1, "img_count": 20}}',
            **header,
        }
        config = [f'output_name = "{name}"', "network_dim = 4", "learning_rate = 0.0001"]
        if start is not None:
            config.append(f"network_weights = {str(start)!r}")
        (folder / f"{name}.toml").write_text("\n".join(config))
        saved = []
        for epoch in epochs:
            path = folder / epoch_file_name(name, epoch)
            tensors = {
                key: torch.from_numpy(value) + (0.001 * (100 * self._n + epoch))
                for key, value in kohya_tensors().items()
            }
            tensors |= {key: torch.tensor(2.0) for key in tensors if key.endswith("alpha")}
            at = began + 60 * epoch
            save_checkpoint(path, tensors, checkpoint_header(metadata, epoch=epoch, step=10 * epoch, saved_at=at))
            _dated(path, at)
            saved.append(path)
        _dated(folder / f"{name}.toml", began - 5)
        return saved


def _dated(path: Path, at: float) -> None:
    os.utime(path, (at, at))


@pytest.fixture
def trainings(tmp_path: Path) -> Iterator[Trainings]:
    folder = tmp_path / "trainings"
    folder.mkdir()
    yield Trainings(folder)


def register(store: Store, *paths: Path) -> None:
    for path in paths:
        store.checkpoints.register(read_checkpoint(path))
        trace_lineage(store)


def origin(store: Store, name: str) -> RunOrigin:
    return store.lineage.origin(store.conclusions.run(name).run_id)


def told(store: Store, name: str) -> tuple[Any, ...]:
    found = origin(store, name)
    return found.parent_name, found.parent_epoch, found.evidence, found.confidence


def test_a_parent_is_certain_by_its_content_whichever_run_is_found_first(store: Store, trainings: Trainings) -> None:
    first = trainings.train("first")
    second = trainings.train("second", first[1])
    register(store, *second)
    assert told(store, "second") == (None, None, None, None)
    assert origin(store, "second").starting_checkpoint == str(first[1])
    register(store, *first)
    assert told(store, "second") == ("first", 2, "same content", "certain")
    assert origin(store, "second").parent_sha256 == read_checkpoint(first[1]).sha256
    assert told(store, "first") == (None, None, None, None)


def test_the_content_is_remembered_when_the_file_is_gone_before_its_run_is_found(
    store: Store, trainings: Trainings, tmp_path: Path
) -> None:
    first = trainings.train("first")
    kept = [Path(shutil.copy2(path, tmp_path / path.name)) for path in first]
    register(store, *trainings.train("second", first[1]))
    for path in first:
        path.unlink()
    register(store, *kept)
    assert told(store, "second") == ("first", 2, "same content", "certain")


def test_weights_with_another_header_are_the_same_weights(store: Store, trainings: Trainings, tmp_path: Path) -> None:
    first = trainings.train("first")
    renamed = tmp_path / "published.safetensors"
    with safe_open(first[2], "pt") as opened:
        metadata = opened.metadata()
    save_file(load_file(first[2]), renamed, {**metadata, "modelspec.title": "Published"})
    register(store, *first, *trainings.train("second", renamed))
    assert told(store, "second") == ("first", 3, "same weights", "likely")


def test_a_file_that_was_overwritten_since_proves_nothing(store: Store, trainings: Trainings) -> None:
    first = trainings.train("first")
    second = trainings.train("second", first[1])
    register(store, *first)
    third = trainings.train("first", epochs=range(2, 3))
    shutil.copy2(third[0], first[1])
    register(store, first[1], *second)
    assert told(store, "second") == ("first", 2, "path at that time", "likely")


def test_of_two_candidates_both_are_said_and_nothing_is_decided(store: Store, trainings: Trainings) -> None:
    one, other = trainings.train("first"), trainings.train("first")
    register(store, *one, *other, *trainings.train("second", "gone/first-000002.safetensors"))
    found = origin(store, "second")
    assert (found.parent_run_id, found.confidence, len(found.candidates)) == (None, None, 2)
    assert all("epoch 2 of first" in candidate for candidate in found.candidates)


def test_a_resumed_run_is_guessed_by_its_counting(store: Store, trainings: Trainings) -> None:
    register(store, *trainings.train("first"), *trainings.train("first", epochs=range(4, 6)))
    (resumed,) = (link for link in store.lineage.links() if link.parent_id is not None)
    found = store.lineage.origin(resumed.run_id)
    assert (found.parent_name, found.parent_epoch, found.confidence) == ("first", 3, "guessed")
    trace_lineage(store)
    again = store.lineage.origin(resumed.run_id)
    assert again == found, "what was written ourselves became evidence"


def test_what_a_trainer_was_asked_counts_where_no_configuration_says_it(store: Store, trainings: Trainings) -> None:
    first = trainings.train("first")
    asked = {"title": "t", "rationale": "r", "source": "starting point", "priority": "LOW"}
    (experiment,) = store.experiments.propose([{**asked, "parameters": {"network_weights": str(first[2])}}], "anna")
    with store.database.connection() as connection:
        connection.execute("UPDATE experiments SET output_name = 'second' WHERE id = %s", (experiment,))
    register(store, *first, *trainings.train("second"))
    assert told(store, "second") == ("first", 3, "same content", "certain")


def test_what_a_person_said_stays(store: Store, trainings: Trainings) -> None:
    first = trainings.train("first")
    register(store, *first, *trainings.train("second", first[1]))
    store.lineage.state("second", ("first", 3), "anna")
    trace_lineage(store)
    found = origin(store, "second")
    assert (found.parent_name, found.parent_epoch, found.set_by) == ("first", 3, "anna")
    store.lineage.state("second", None, "anna")
    trace_lineage(store)
    assert origin(store, "second").parent_run_id is None
    with pytest.raises(LineageError, match="no epoch 9"):
        store.lineage.state("second", ("first", 9), "anna")
    with pytest.raises(UnknownRunError, match="nobody"):
        store.lineage.state("second", ("nobody", 1), "anna")


def test_a_parent_that_was_in_the_database_before_stays(store: Store, trainings: Trainings) -> None:
    first, other = trainings.train("first"), trainings.train("other")
    second = trainings.train("second", first[1])
    for path in (*first, *other, *second):
        store.checkpoints.register(read_checkpoint(path))
    with store.database.connection() as connection:
        connection.execute(
            "UPDATE training_runs SET parent_run_id = (SELECT id FROM training_runs WHERE run_name = 'other'), "
            "starting_checkpoint = 'my own words' WHERE run_name = 'second'"
        )
    trace_lineage(store)
    found = origin(store, "second")
    assert (found.parent_name, found.starting_checkpoint, found.evidence) == ("other", "my own words", None)


def test_no_run_descends_from_itself(store: Store, trainings: Trainings) -> None:
    first = trainings.train("first")
    second = trainings.train("second", first[1])
    # A header can claim any time: the first run says that it started from the second, long after it.
    register(store, *first, *second)
    with pytest.raises(LineageError, match="comes from first itself"):
        store.lineage.state("first", ("second", 1), "anna")
    with pytest.raises(LineageError, match="comes from first itself"):
        store.lineage.state("first", ("first", 1), "anna")
    liar = trainings.train(
        "liar", trainings.folder / "4-late" / epoch_file_name("late", 1), ss_training_started_at="9e9"
    )
    late = trainings.train("late", liar[0], ss_training_started_at="9.1e9")
    register(store, *liar, *late)
    links = {link.run_name: link for link in store.lineage.links()}
    assert (links["liar"].parent_id, links["late"].parent_id) in [
        (None, links["liar"].run_id),
        (links["late"].run_id, None),
    ]


def test_a_circle_that_others_have_written_ends_nothing(store: Store) -> None:
    ids = [add_run(store, name) for name in ("a", "b", "c")]
    with store.database.connection() as connection:
        for run, parent in zip(ids, ids[1:] + ids[:1], strict=True):
            connection.execute("UPDATE training_runs SET parent_run_id = %s WHERE id = %s", (parent, run))
    trace_lineage(store)
    assert {relative.origin.run_name for relative in family(store, ids[0])} == {"a", "b", "c"}


SUITE = [f"prompt_{number}" for number in range(6)]


def evaluated(
    store: Store, name: str, scores: dict[int, float], prompts: list[str] = SUITE, base: str = "ab12"
) -> RowId:
    """A run with measured images, and a verdict that names its best epoch."""
    run_id = add_run(store, name)
    for epoch, score in scores.items():
        with store.database.connection() as connection:
            row = connection.execute(
                "INSERT INTO epoch_results (training_run_id, epoch_number, registered_at, evaluation_status) "
                "VALUES (%s, %s, now(), 'registered') RETURNING id",
                (run_id, epoch),
            ).fetchone()
        assert row is not None
        epoch_id = row["id"]
        prints = ({"base": base, "prompt": prompt, "number": epoch, "run": name} for prompt in prompts)
        images = [painted(prompt, epoch, fingerprint=each) for prompt, each in zip(prompts, prints, strict=True)]
        store.images.add(epoch_id, images)
        stored = store.images.of_epoch(epoch_id)
        store.images.set_metrics({image.id: {"overall_score": score + at % 3} for at, image in enumerate(stored)}, "1")
        store.epochs.record_evaluation(epoch_id, rollup(score, prompts))
        best = max(scores, key=lambda each: scores[each])
        store.conclusions.record_convergence(run_id, epoch_id, {"status": "optimal", "best_epoch": best})
    return run_id


def test_the_gain_is_told_over_the_parents_best_and_over_the_very_start(store: Store) -> None:
    parent = evaluated(store, "parent", {1: 50.0, 2: 60.0, 3: 70.0})
    child = evaluated(store, "child", {1: 72.0, 2: 75.0})
    store.lineage.state("child", ("parent", 2), "anna")
    gain = gain_over_parent(store, store.lineage.origin(child))
    assert gain is not None and gain.over_best is not None and gain.over_start is not None
    assert (gain.over_best.differences[0].difference, gain.over_start.differences[0].difference) == (5.0, 15.0)
    assert gain.over_best.verdict == "better"
    assert [each.origin.run_name for each in runs_from(store, parent, 2)] == ["child"]
    assert runs_from(store, parent, 3) == []
    tree = [(each.generation, each.origin.run_name, each.best_epoch, each.best_score) for each in family(store, child)]
    assert tree == [(-1, "parent", 3, 70.0), (0, "child", 2, 75.0)]


@pytest.mark.parametrize("other", [{"prompts": ["another"] * 1}, {"base": "another"}])
def test_what_does_not_compare_is_said_not_to(store: Store, other: dict[str, Any]) -> None:
    evaluated(store, "parent", {1: 50.0})
    child = evaluated(store, "child", {1: 90.0}, **other)
    store.lineage.state("child", ("parent", 1), "anna")
    gain = gain_over_parent(store, store.lineage.origin(child))
    assert gain is not None and gain.over_best is not None
    assert gain.over_best.differences[0].difference is None
    assert "no measured image in common" in gain.over_best.sentence


def test_the_lab_draws_the_family_and_hostile_names_are_text(store: Store, tmp_path: Path) -> None:
    hostile = "</svg><script>alert(1)</script>\"' onload=x {{ 7*7 }}" * 3
    parent = evaluated(store, hostile, {1: 50.0, 2: 60.0})
    child, grandchild = evaluated(store, "child", {1: 72.0}), evaluated(store, "grandchild", {1: 80.0})
    for name, source in (("child", hostile), ("grandchild", "child")):
        store.lineage.state(name, (source, 1), "anna")
    with served(store, tmp_path) as address:
        page = httpx.get(f"{address}/lab/runs/{child}")
        alone = httpx.get(f"{address}/lab/runs/{evaluated(store, 'alone', {1: 60.0})}").text
    assert page.status_code == 200
    for run in (parent, child, grandchild):
        assert f'<a href="/lab/runs/{run}"><title>' in page.text
    assert "<script>alert" not in page.text and "style=" not in page.text.partition('class="family"')[2]
    assert "Not to be told" in page.text or "Better than" in page.text, "the gain is shown"
    assert 'class="family"' not in alone and "<h2>Lineage</h2>" not in alone


def test_a_circle_does_not_break_a_page(store: Store, tmp_path: Path) -> None:
    one, other = evaluated(store, "one", {1: 50.0}), evaluated(store, "other", {1: 60.0})
    with store.database.connection() as connection:
        connection.execute(
            "UPDATE training_runs SET parent_run_id = CASE id WHEN %s THEN %s ELSE %s END", (one, other, one)
        )
    with served(store, tmp_path) as address:
        assert httpx.get(f"{address}/lab/runs/{one}").status_code == 200


def test_the_command_line_shows_a_tree_answers_what_came_from_an_epoch_and_takes_a_persons_word(store: Store) -> None:
    evaluated(store, "parent", {1: 50.0, 2: 60.0})
    evaluated(store, "[red]child", {1: 72.0})
    url = store.database.url
    said = pixel_lora("lineage", "set", "[red]child", "--from", "parent:1", DATABASE_URL=url)
    assert said.returncode == 0, said.stderr
    tree = pixel_lora("lineage", "[red]child", DATABASE_URL=url).stdout
    assert "parent: best epoch 2 (60.0)\n  [red]child: best epoch 1 (72.0); from epoch 1 of parent (said by" in tree, (
        tree
    )
    assert "over the parent's best: Better than the best epoch of parent (+12.0 points" in tree, tree
    (came,) = json.loads(pixel_lora("lineage", "--from", "parent:1", "--json", DATABASE_URL=url).stdout)
    assert (came["run_name"], came["gain"]["over_start"]["difference"]) == ("[red]child", 22.0)
    assert "No run is known" in pixel_lora("lineage", "--from", "parent:2", DATABASE_URL=url).stdout
    circle = pixel_lora("lineage", "set", "parent", "--from", "[red]child:1", DATABASE_URL=url)
    assert circle.returncode == 2 and "cannot come from" in circle.stderr
    assert pixel_lora("lineage", "set", "parent", "--from", "child", DATABASE_URL=url).returncode == 2
    assert pixel_lora("lineage", "nobody", DATABASE_URL=url).returncode == 1


def test_dagster_is_told_the_parent_and_the_gain_as_a_number(store: Store) -> None:
    evaluated(store, "parent", {1: 50.0, 2: 60.0})
    child = evaluated(store, "child", {1: 72.0})
    store.lineage.state("child", ("parent", 1), "anna")
    metadata = lineage_metadata(family(store, child))
    assert metadata["parent"].value == "parent"
    assert (metadata["gain_over_parents_best"].value, metadata["gain_over_start"].value) == (12.0, 22.0)
    assert [record.data["run"] for record in metadata["lineage"].records] == ["parent", "child"]
    assert lineage_metadata(family(store, evaluated(store, "alone", {1: 60.0}))) == {}


def test_with_nothing_known_an_a_b_pair_enters_the_queue_and_can_be_trained(store: Store, trainings: Trainings) -> None:
    first = trainings.train("first")
    register(store, *first)
    finished(store, "first", {1: 50.0, 2: 70.0, 3: 60.0})
    proposed = propose(store, read_history(store))
    arms = [each for each in proposed.hypotheses if each.source == "starting point"]
    assert len(arms) == 3, [each.title for each in proposed.hypotheses]
    assert len(proposed.hypotheses) <= 5
    assert [each.parameters.get("network_weights") for each in arms] == [str(first[1]), str(first[0]), None]
    ids = {each.experiment_id for each in store.experiments.all() if each.source == "starting point"}
    assert len(ids) == 3
    propose(store, read_history(store))
    assert {each.experiment_id for each in store.experiments.all() if each.source == "starting point"} == ids
    said = json.loads(pixel_lora("starting-point", "--json", DATABASE_URL=store.database.url).stdout)
    assert (said["start"], said["checkpoint"]) == ("unknown", "first:2")
    assert "starting_point" in proposals_metadata(proposed)


def finished(store: Store, name: str, scores: dict[int, float]) -> None:
    run_id = store.conclusions.run(name).run_id
    best = max(scores, key=lambda each: scores[each])
    with store.database.connection() as connection:
        rows = connection.execute("SELECT id, epoch_number FROM epoch_results WHERE training_run_id = %s", (run_id,))
        epochs = {row["epoch_number"]: row["id"] for row in rows}
        connection.execute(
            "UPDATE training_runs SET status = 'completed', best_epoch = %s WHERE id = %s", (best, run_id)
        )
    for epoch, score in scores.items():
        store.epochs.record_evaluation(epochs[epoch], rollup(score))
        verdict = {"status": "degrading", "best_epoch": best, "should_stop": True, "reason": "past its peak"}
        store.conclusions.record_convergence(run_id, epochs[epoch], verdict)


def test_times_are_of_the_header_and_not_of_the_clock(store: Store, trainings: Trainings) -> None:
    first = trainings.train("first")
    register(store, *first)
    (saved, *_) = [each.saved_at for each in store.lineage.checkpoints()]
    assert saved == datetime.fromtimestamp(BEGAN + 10_060, UTC)
