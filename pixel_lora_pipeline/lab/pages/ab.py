"""Blind tests: making one, and what its votes say."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pixel_lora_pipeline.analyze.ab_result import letter
from pixel_lora_pipeline.blind_tests import MOST_MODELS, PRODUCTION, BlindTestError, all_results, create_test, result_of
from pixel_lora_pipeline.lab.page import person, post, render, store_of
from pixel_lora_pipeline.store import (
    ABTests,
    JudgeError,
    NoBaselineError,
    NothingEvaluatedError,
    UnknownABTestError,
    UnknownRunError,
)

_OFFERED: Final = 200  # checkpoints in the list to choose from; others can be written
_LONGEST: Final = 300


class NewTest(BaseModel):
    """What to compare, as `create_test` takes it."""

    checkpoints: list[str] = Field(max_length=MOST_MODELS)
    name: str = Field("", max_length=_LONGEST)


class Nothing(BaseModel):
    """An order that says all by its address."""


class JudgeDecision(BaseModel):
    """Whether a judge counts, and why not."""

    judge: str = Field(max_length=_LONGEST)
    counts: bool
    why: str = Field("", max_length=_LONGEST)


def show_all(request: Request) -> Response:
    """The page of all tests."""
    store = store_of(request)
    live = store.lab_events.cursor()
    offered = [f"{model.run_name}:{model.epoch}" for model in store.ab_tests.candidates(_OFFERED)]
    if store.baselines.current() is not None:
        offered.insert(0, PRODUCTION)
    return render(request, "ab.html.jinja", live=live, offered=offered, most=MOST_MODELS, tests=all_results(store))


def list_all(request: Request) -> Response:
    """The tests alone, for live pages."""
    return render(request, "ab_list.html.jinja", tests=all_results(store_of(request)))


def show(request: Request) -> Response:
    """The page of one test."""
    live = store_of(request).lab_events.cursor()
    return render(request, "ab_test.html.jinja", live=live, **_shown(request))


def show_result(request: Request) -> Response:
    """What its votes say alone, for live pages."""
    return render(request, "ab_result.html.jinja", **_shown(request))


def _shown(request: Request) -> dict[str, Any]:
    store, test_id = store_of(request), request.path_params["test_id"]
    try:
        tested = result_of(store, test_id)
    except UnknownABTestError:
        raise HTTPException(404, "There is no such test.") from None
    return {
        "test": tested.test,
        "result": tested.result,
        "metrics": [metric for metric in tested.metrics if metric.n],
        "judges": store.ab_tests.judges(test_id),
        "records": {record.judge: record for record in tested.result.judges},
        "letter": letter,
    }


def create(request: Request, order: NewTest) -> Mapping[str, Any]:
    """Make a test, and say where it is."""
    chosen = [checkpoint for checkpoint in order.checkpoints if checkpoint.strip()]
    try:
        test_id = create_test(store_of(request), chosen, person(request), order.name)
    except (BlindTestError, NoBaselineError, NothingEvaluatedError, UnknownRunError) as error:
        raise HTTPException(422, str(error)) from None
    return {"address": f"/lab/ab/{test_id}"}


def end(request: Request, _: Nothing) -> Mapping[str, Any]:
    """Take no more votes."""
    _tests_with(request).end(request.path_params["test_id"], person(request))
    return {}


def reopen(request: Request, _: Nothing) -> Mapping[str, Any]:
    """Take votes again."""
    _tests_with(request).reopen(request.path_params["test_id"], person(request))
    return {}


def decide_on_judge(request: Request, order: JudgeDecision) -> Mapping[str, Any]:
    """Leave a judge out of the result, or take them in again."""
    tests, test_id = _tests_with(request), request.path_params["test_id"]
    try:
        if order.counts:
            tests.count_again(test_id, order.judge, person(request))
        else:
            tests.leave_out(test_id, order.judge, person(request), order.why)
    except JudgeError as error:
        raise HTTPException(404, str(error)) from None
    return {}


def _tests_with(request: Request) -> ABTests:
    """The tests, among them that of the address."""
    tests = store_of(request).ab_tests
    try:
        tests.get(request.path_params["test_id"])
    except UnknownABTestError:
        raise HTTPException(404, "There is no such test.") from None
    return tests


routes = [
    Route("/ab", show_all),
    Route("/fragments/ab", list_all),
    Route("/ab/{test_id}", show),
    Route("/fragments/ab/{test_id}", show_result),
    post("/api/ab", NewTest, create),
    post("/api/ab/{test_id}/end", Nothing, end),
    post("/api/ab/{test_id}/reopen", Nothing, reopen),
    post("/api/ab/{test_id}/judges", JudgeDecision, decide_on_judge),
]
