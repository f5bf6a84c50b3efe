"""Blind tests, from the stored images of two checkpoints to what people's votes say of them."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pixel_lora_pipeline.analyze.ab_ballot import Ballot, majorities
from pixel_lora_pipeline.analyze.ab_metric_agreement import MetricAgreement, Preference, metric_agreement
from pixel_lora_pipeline.analyze.ab_plan import plan_showings
from pixel_lora_pipeline.analyze.ab_result import ABResult, ab_result, letter
from pixel_lora_pipeline.analyze.tested_image import Question, by_question
from pixel_lora_pipeline.store import (
    ABCase,
    ABModel,
    ABTest,
    NoBaselineError,
    NothingEvaluatedError,
    RowId,
    Store,
    StoredImage,
)

PRODUCTION: Final = "production"
"""What the promoted checkpoint is called where checkpoints are named."""

MOST_MODELS: Final = 8
"""Of a test; each two of them need votes of their own, and eight make 28 duels already."""

_PLAN_BITS: Final = 64


class BlindTestError(ValueError):
    """A test that cannot be made: says why, and what to do."""


@dataclass(frozen=True)
class TestedCheckpoints:
    """A test with what its votes say so far.

    Attributes
    ----------
    metrics
        How far each metric agrees with people.
    """

    test: ABTest
    result: ABResult
    metrics: tuple[MetricAgreement, ...]

    @property
    def winner(self) -> ABModel | None:
        """The checkpoint to use; None if there is no winner, or none yet."""
        return None if self.result.winner is None else self.test.models[self.result.winner]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return {
            "id": str(self.test.test_id),
            "name": self.test.name,
            "models": {letter(number): model.name for number, model in enumerate(self.test.models)},
            **self.result.to_dict(),
            "metrics": [vars(agreement) for agreement in self.metrics],
        }


def create_test(store: Store, checkpoints: Sequence[str], by: str, name: str = "") -> RowId:
    """Make a test of what checkpoints have painted of the same prompts and seeds, and return its id.

    Parameters
    ----------
    checkpoints
        As "RUN:EPOCH", or `PRODUCTION`.
    by
        Who makes it.
    name
        For those who may know what is compared; by default it names the checkpoints.

    Raises
    ------
    BlindTestError
        If the names are not of that form, are too few, too many or name one checkpoint twice, or if the checkpoints
        have no image in common.
    UnknownRunError
        If there is no such run.
    NothingEvaluatedError
        If one of the epochs is not evaluated.
    NoBaselineError
        If no checkpoint is in production.
    """
    if not 2 <= len(checkpoints) <= MOST_MODELS:
        raise BlindTestError(f"{len(checkpoints)} checkpoints cannot be compared: name 2 to {MOST_MODELS}.")
    models = [_model(store, checkpoint.strip()) for checkpoint in checkpoints]
    if len({model.epoch_id for model in models}) < len(models):
        raise BlindTestError(f"One checkpoint is named twice in {', '.join(checkpoints)}: compare different ones.")
    cases = _cases([by_question(store.images.of_epoch(model.epoch_id)) for model in models])
    if not cases:
        raise BlindTestError(
            f"{' and '.join(model.name for model in models)} have no image of the same prompt, seed and size: "
            "evaluate them with the same suite and depth."
        )
    default = " / ".join(model.name for model in models)
    return store.ab_tests.create(name.strip() or default, models, cases, by)


def join_test(store: Store, test_id: RowId | str, judge: str, by: str) -> str:
    """Let somebody judge a test, in an order and with sides of their own; returns the secret of their votes.

    Raises
    ------
    UnknownABTestError
        If there is no such test.
    JudgeError
        If they cannot judge it under this name.
    ABTestEndedError
        If it has ended.
    """
    test = store.ab_tests.get(test_id)
    plan = plan_showings([case.prompt for case in test.cases], len(test.models), secrets.randbits(_PLAN_BITS))
    return store.ab_tests.join(test_id, judge, plan, by)


def result_of(store: Store, test_id: RowId | str) -> TestedCheckpoints:
    """What a test says so far.

    Raises
    ------
    UnknownABTestError
        If there is no such test.
    """
    test = store.ab_tests.get(test_id)
    ballots = store.ab_tests.ballots(test_id)
    return TestedCheckpoints(test, _result(test, ballots), metric_agreement(_preferences(store, test, ballots)))


def all_results(store: Store) -> list[tuple[ABTest, ABResult]]:
    """Every test with what its votes say so far, the newest first."""
    return [(test, _result(test, store.ab_tests.ballots(test.test_id))) for test in store.ab_tests.all()]


def _result(test: ABTest, ballots: Sequence[Ballot]) -> ABResult:
    return ab_result(ballots, [case.prompt for case in test.cases], len(test.models))


def _model(store: Store, checkpoint: str) -> ABModel:
    if checkpoint == PRODUCTION:
        baseline = store.baselines.current()
        if baseline is None:
            raise NoBaselineError("no checkpoint is in production: promote one with `pixel-lora promote RUN EPOCH`.")
        return ABModel(baseline.epoch_id, baseline.run_name, baseline.epoch)
    run_name, colon, number = checkpoint.rpartition(":")
    if not colon or not number.isdecimal():
        raise BlindTestError(f"{checkpoint!r} names no checkpoint: write RUN:EPOCH, or {PRODUCTION}.")
    run = store.conclusions.run(run_name)
    evaluated = {row.epoch: row for row in store.conclusions.epochs(run.run_id)}
    if int(number) not in evaluated:
        known = f"evaluated are {sorted(evaluated)}" if evaluated else "none of this run is"
        raise NothingEvaluatedError(f"epoch {number} of {run.run_name} is not evaluated: {known}.")
    return ABModel(evaluated[int(number)].epoch_id, run.run_name, int(number))


def _cases(painted: Sequence[dict[Question, StoredImage]]) -> list[ABCase]:
    """What all of them have painted in the same size; another size would tell the models apart."""
    cases = []
    for asked, image in painted[0].items():
        images = [known.get(asked) for known in painted]
        if all(other is not None and (other.width, other.height) == (image.width, image.height) for other in images):
            names = tuple(other.image_sha256 for other in images if other is not None)
            cases.append(ABCase(image.prompt_id, image.prompt, image.negative_prompt, image.seed, names))
    return cases


def _preferences(store: Store, test: ABTest, ballots: Iterable[Ballot]) -> Iterable[Preference]:
    """Of every pair that people prefer one image of, this one and the other, where both are still measured."""
    known = [_known_images(store, model) for model in test.models]
    for pairing, winners in majorities(ballots).items():
        for case, winner in winners.items():
            if winner is None:
                continue
            loser = pairing[winner == pairing[0]]
            names = test.cases[case].images
            preferred, other = known[winner].get(names[winner]), known[loser].get(names[loser])
            if preferred is not None and other is not None:
                yield preferred, other


def _known_images(store: Store, model: ABModel) -> dict[str, StoredImage]:
    return {image.image_sha256: image for image in store.images.of_epoch(model.epoch_id)}
