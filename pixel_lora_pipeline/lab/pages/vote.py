"""The blind vote: two images of one prompt and seed, and nothing in the page or on the network tells whose they are."""

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, Literal, ParamSpec

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pixel_lora_pipeline.blind_tests import join_test
from pixel_lora_pipeline.lab.blind_pair import WaitingImages, alike
from pixel_lora_pipeline.lab.page import person, post, render, store_of
from pixel_lora_pipeline.store import (
    ABTestEndedError,
    ImageStoreError,
    JudgeError,
    ShownPair,
    UnknownABTestError,
    VoteRefusedError,
)

_LONGEST: Final = 200  # characters of a name or token

Arguments = ParamSpec("Arguments")

logger = logging.getLogger(__name__)

waiting = WaitingImages()
"""What was announced to judges and not fetched yet; after a restart their pages ask for the pair again."""


class Join(BaseModel):
    """Somebody who wants to judge."""

    judge: str = Field(max_length=_LONGEST)


class Judge(BaseModel):
    """A judge, by the secret that joining returned."""

    secret: str = Field(max_length=_LONGEST)


class Vote(Judge):
    """A judge's vote on the pair that the token came with."""

    token: str = Field(max_length=_LONGEST)
    choice: Literal["left", "right", "tie"]


def _refusing(answer: Callable[Arguments, Mapping[str, Any]]) -> Callable[Arguments, Mapping[str, Any]]:
    """Errors of the store as what HTTP calls them."""

    @wraps(answer)
    def refused(*arguments: Arguments.args, **options: Arguments.kwargs) -> Mapping[str, Any]:
        try:
            return answer(*arguments, **options)
        except UnknownABTestError:
            raise HTTPException(404, "There is no such test.") from None
        except JudgeError as error:
            raise HTTPException(403, str(error)) from None
        except ABTestEndedError as error:
            raise HTTPException(410, str(error)) from None
        except VoteRefusedError as error:
            raise HTTPException(409, str(error)) from None
        except ImageStoreError as error:
            # What it says names the file, and with it the model.
            logger.error("a pair of a blind test cannot be shown: %s", error)
            raise HTTPException(
                503, "An image of this pair is missing or damaged; the server's log says which."
            ) from None

    return refused


def show(request: Request) -> Response:
    """The page. It knows the test's number and nothing else of it: its name may name the checkpoints."""
    test_id = request.path_params["test_id"]
    try:
        test = store_of(request).ab_tests.get(test_id)
    except UnknownABTestError:
        raise HTTPException(404, "There is no such test.") from None
    return render(
        request, "vote.html.jinja", test_id=str(test.test_id), has_ended=test.ended_at is not None, me=person(request)
    )


@_refusing
def join(request: Request, order: Join) -> Mapping[str, Any]:
    """Let somebody judge."""
    secret = join_test(store_of(request), request.path_params["test_id"], order.judge, person(request))
    return {"secret": secret}


@_refusing
def pair(request: Request, order: Judge) -> Mapping[str, Any]:
    """The next pair."""
    tests = store_of(request).ab_tests
    return _told(request, tests.show(request.path_params["test_id"], order.secret))


@_refusing
def vote(request: Request, order: Vote) -> Mapping[str, Any]:
    """Keep a vote, and return the next pair."""
    tests = store_of(request).ab_tests
    return _told(request, tests.vote(request.path_params["test_id"], order.secret, order.token, order.choice))


@_refusing
def undo(request: Request, order: Judge) -> Mapping[str, Any]:
    """Take the last vote back, and return its pair."""
    tests = store_of(request).ab_tests
    return _told(request, tests.undo(request.path_params["test_id"], order.secret))


def _told(request: Request, shown: ShownPair) -> Mapping[str, Any]:
    """A pair for the judge's page; both images are made and waiting before either can be asked for."""
    progress = {"done": shown.done, "planned": shown.planned, "can_undo": shown.can_undo}
    if shown.showing is None or shown.case is None:
        return {**progress, "pair": None}
    files = store_of(request).image_files
    sides = [files.read(shown.case.images[model]) for model in (shown.showing.left, shown.showing.right)]
    left, right = (f"/lab/vote/{waiting.put(png)}.png" for png in alike(*sides))
    return {**progress, "pair": {"token": shown.token, "prompt": shown.case.prompt, "left": left, "right": right}}


def image(request: Request) -> Response:
    """One side of a pair, once."""
    png = waiting.take(request.path_params["token"])
    if png is None:
        raise HTTPException(410, "This image was fetched already: each is sent once. Load the pair again.")
    return Response(png, media_type="image/png", headers={"Cache-Control": "no-store"})


routes = [
    Route("/ab/{test_id}/vote", show),
    Route("/vote/{token}.png", image, methods=["GET"]),
    post("/api/ab/{test_id}/join", Join, join),
    post("/api/ab/{test_id}/pair", Judge, pair),
    post("/api/ab/{test_id}/vote", Vote, vote),
    post("/api/ab/{test_id}/undo", Judge, undo),
]
