"""Blind tests are made of what checkpoints have painted of the same prompts and seeds."""

from pathlib import Path

import pytest

from pixel_lora_pipeline.blind_tests import BlindTestError, create_test, join_test, result_of
from pixel_lora_pipeline.store import NoBaselineError, NothingEvaluatedError, RowId, Store, UnknownRunError
from pixel_lora_pipeline_tests.blind_epochs import an_image, two_epochs


@pytest.fixture
def store(store: Store, tmp_path: Path) -> Store:
    """With two evaluated epochs of a run."""
    two_epochs(store, tmp_path / "checkpoints")
    return store


def test_a_test_holds_the_images_of_every_model_on_each_case(store: Store) -> None:
    test = store.ab_tests.get(create_test(store, ["portrait:1", " portrait:2 "], "somebody"))
    assert test.name == "portrait, epoch 1 / portrait, epoch 2"
    assert len(test.cases) == 16
    for number, model in enumerate(test.models):
        known = {(image.prompt, image.seed): image.image_sha256 for image in store.images.of_epoch(model.epoch_id)}
        assert all(case.images[number] == known[case.prompt, case.seed] for case in test.cases)


def test_images_that_would_tell_the_models_apart_by_their_size_take_no_part(store: Store) -> None:
    first, second = (model.epoch_id for model in store.ab_tests.get(_made(store)).models)
    store.images.add(first, [an_image(1, 90)])
    store.images.add(second, [an_image(2, 90, side=32)])
    assert len(store.ab_tests.get(_made(store)).cases) == 16


def test_the_checkpoint_in_production_takes_part_under_that_name(store: Store, tmp_path: Path) -> None:
    second = store.ab_tests.get(_made(store)).models[1]
    store.baselines.promote(second.epoch_id, tmp_path, "portrait.safetensors", "ab" * 32, "somebody")
    test = store.ab_tests.get(create_test(store, ["portrait:1", "production"], "somebody", "new against old"))
    assert (test.name, test.models[1]) == ("new against old", second)


@pytest.mark.parametrize(
    ("checkpoints", "error", "said"),
    [
        (["portrait:1"], BlindTestError, "1 checkpoints cannot be compared"),
        (["portrait:1", "portrait"], BlindTestError, "'portrait' names no checkpoint: write RUN:EPOCH"),
        (["portrait:1", "portrait:1"], BlindTestError, "named twice"),
        (["portrait:1"] * 9, BlindTestError, "9 checkpoints cannot be compared"),
        (["portrait:1", "portrait:9"], NothingEvaluatedError, r"epoch 9 of portrait is not evaluated: .* \[1, 2\]"),
        (["portrait:1", "landscape:1"], UnknownRunError, "no training run 'landscape'"),
        (["portrait:1", "production"], NoBaselineError, "no checkpoint is in production"),
    ],
)
def test_what_cannot_be_compared_is_named(
    checkpoints: list[str], error: type[Exception], said: str, store: Store
) -> None:
    with pytest.raises(error, match=said):
        create_test(store, checkpoints, "somebody")
    assert store.ab_tests.all() == []


def test_judges_see_the_pairs_in_orders_and_on_sides_of_their_own(store: Store) -> None:
    test_id = _made(store)
    plans = []
    for name in ("Ann", "Bob"):
        secret = join_test(store, test_id, name, "somebody")
        plan = []
        while (pair := store.ab_tests.show(test_id, secret)).showing is not None:
            plan.append(pair.showing)
            store.ab_tests.vote(test_id, secret, pair.token, "tie")
        plans.append(plan)
    assert plans[0] != plans[1]
    result = result_of(store, test_id).result
    assert (result.votes, result.duels[0].ties, len(result.judges)) == (32, 16, 2)


def test_metrics_of_images_that_were_painted_again_are_not_compared_with_votes_on_the_old_ones(store: Store) -> None:
    test_id = _made(store)
    secret = join_test(store, test_id, "Ann", "ann")
    while (pair := store.ab_tests.show(test_id, secret)).showing is not None:
        store.ab_tests.vote(test_id, secret, pair.token, "left")
    assert result_of(store, test_id).metrics[0].n == 16
    first = store.ab_tests.get(test_id).models[0]
    store.images.add(first.epoch_id, [an_image(1, 0, colors=3)])
    assert result_of(store, test_id).metrics[0].n == 15


def _made(store: Store) -> RowId:
    return create_test(store, ["portrait:1", "portrait:2"], "somebody")
