"""The queue of experiments and the principles, and what people decide on them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import Any, Final, Literal, ParamSpec
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pixel_lora_pipeline.improve.queue_document import experiment_fields
from pixel_lora_pipeline.improve.wording import shown
from pixel_lora_pipeline.improving import ParameterError, read_assignments
from pixel_lora_pipeline.lab.page import person, post, render, store_of
from pixel_lora_pipeline.learn import Principle, approve, revoke
from pixel_lora_pipeline.learning import UnknownPrincipleError, decide_on_principle
from pixel_lora_pipeline.store import Experiment, ExperimentStateError, UnknownExperimentError
from pixel_lora_pipeline.store.experiments import ENDED, OPEN, UNDER_WAY

_MOST_ENDED: Final = 20
_LONGEST: Final = 2000
# Said in other places of the card.
_ELSEWHERE: Final = frozenset({"Hypothesis", "Predicted", "Status"})

Arguments = ParamSpec("Arguments")


class Move(BaseModel):
    """Another state for an experiment: approved, taken back, cancelled."""

    state: Literal["QUEUED", "PROPOSED", "SKIPPED"]
    why: str = Field("", max_length=_LONGEST)


class Edit(BaseModel):
    """Parameters to change, one `name=value` a line."""

    parameters: str = Field(max_length=_LONGEST)


class Place(BaseModel):
    """In front of which experiment it goes; None for the end of the queue."""

    before: int | UUID | None


class Approval(BaseModel):
    """Of a principle."""


class Revocation(BaseModel):
    """Of a principle, for those who come after."""

    why: str = Field(min_length=1, max_length=_LONGEST)


@dataclass(frozen=True)
class _Card:
    """An experiment as the page shows it.

    Attributes
    ----------
    fields
        Labels and texts.
    up, down
        In front of which experiment it has to go to move by one place; "" for the end of the queue, None where it
        cannot move.
    decisions
        When, who, what.
    """

    experiment: Experiment
    fields: list[tuple[str, str]]
    up: str | None
    down: str | None
    decisions: list[tuple[str, str, str]]

    @property
    def can_be_edited(self) -> bool:
        """Whether it was not started yet."""
        return self.experiment.state not in (*UNDER_WAY, *ENDED)


def show(request: Request) -> Response:
    """The page."""
    live = store_of(request).lab_events.cursor()
    return render(request, "queue.html.jinja", live=live, **_experiments(request), **_principles(request))


def experiments(request: Request) -> Response:
    """The experiments alone, for live pages."""
    return render(request, "queue_experiments.html.jinja", **_experiments(request))


def principles(request: Request) -> Response:
    """The principles alone, for live pages."""
    return render(request, "queue_principles.html.jinja", **_principles(request))


def _experiments(request: Request) -> dict[str, Any]:
    known = store_of(request).experiments.all()
    sections = {
        "Under way": [each for each in known if each.state in UNDER_WAY],
        "Queued": _in_starting_order([each for each in known if each.state == "QUEUED"]),
        "Proposed": _in_starting_order([each for each in known if each.state in OPEN]),
        "Ended": [each for each in known if each.state in ENDED][:_MOST_ENDED],
    }
    return {"sections": {title: _cards(found) for title, found in sections.items()}, "shown": shown}


def _in_starting_order(found: list[Experiment]) -> list[Experiment]:
    """As they would be started: by priority, then by place."""
    return sorted(found, key=lambda each: ("HIGH", "MEDIUM", "LOW").index(each.priority))


def _cards(found: list[Experiment]) -> list[_Card]:
    cards = []
    for each in found:
        document = {**each.proposal, "parameters": each.parameters, "prediction": each.prediction}
        up, down = _neighbours(each, found)
        cards.append(
            _Card(
                experiment=each,
                fields=[field for field in experiment_fields(document) if field[0] not in _ELSEWHERE],
                up=up,
                down=down,
                decisions=[_told(decision) for decision in each.decisions],
            )
        )
    return cards


def _neighbours(experiment: Experiment, found: list[Experiment]) -> tuple[str | None, str | None]:
    """What `_Card.up` and `_Card.down` are; priorities do not mix."""
    if experiment.state in (*UNDER_WAY, *ENDED):
        return None, None
    ids = [str(other.experiment_id) for other in found if other.priority == experiment.priority]
    place = ids.index(str(experiment.experiment_id))
    up = ids[place - 1] if place > 0 else None
    down = None if place + 1 == len(ids) else next(iter(ids[place + 2 : place + 3]), "")
    return up, down


def _told(decision: Mapping[str, Any]) -> tuple[str, str, str]:
    """When, who, what."""
    if "edited" in decision:
        what = "edited: " + ", ".join(f"{name}={shown(value)}" for name, value in decision["edited"].items())
    elif "moved_to" in decision:
        what = "moved within the queue"
    elif "took_over_from" in decision:
        what = f"watches the training instead of {decision['took_over_from']}"
    else:
        what = str(decision.get("state", "decided")) + (f", because: {decision['why']}" if decision.get("why") else "")
    return str(decision.get("at", ""))[:16].replace("T", " "), str(decision.get("by", "?")), what


def _principles(request: Request) -> dict[str, Any]:
    known = [Principle.from_dict(document) for document in store_of(request).knowledge.principles()]
    order = ("soft", "proposed", "hard", "revoked")  # what waits for a person first
    return {"principles": sorted(known, key=lambda principle: order.index(principle.status))}


def _refusing(answer: Callable[Arguments, None]) -> Callable[Arguments, Mapping[str, Any]]:
    """Errors as what HTTP calls them, and an empty answer otherwise: what changed is shown by the live page."""

    @wraps(answer)
    def refused(*arguments: Arguments.args, **options: Arguments.kwargs) -> Mapping[str, Any]:
        try:
            answer(*arguments, **options)
        except (UnknownExperimentError, UnknownPrincipleError) as error:
            raise HTTPException(404, str(error)) from None
        except ParameterError as error:
            raise HTTPException(422, str(error)) from None
        except (ExperimentStateError, ValueError) as error:
            raise HTTPException(409, str(error)) from None
        return {}

    return refused


@_refusing
def move(request: Request, order: Move) -> None:
    """Approve, take back or cancel an experiment."""
    store_of(request).experiments.move_to(request.path_params["id"], order.state, person(request), order.why)


@_refusing
def edit(request: Request, order: Edit) -> None:
    """Change parameters of an experiment."""
    changes = read_assignments(order.parameters.split())
    store_of(request).experiments.edit(request.path_params["id"], changes, person(request))


@_refusing
def place(request: Request, order: Place) -> None:
    """Move an experiment within the queue."""
    store_of(request).experiments.place_before(request.path_params["id"], order.before, person(request))


@_refusing
def approve_principle(request: Request, _: Approval) -> None:
    """Make a soft principle hard."""
    decide_on_principle(
        store_of(request),
        request.path_params["id"],
        lambda principle: approve(principle, person(request), datetime.now(UTC)),
    )


@_refusing
def revoke_principle(request: Request, order: Revocation) -> None:
    """Retire a principle."""
    decide_on_principle(
        store_of(request),
        request.path_params["id"],
        lambda principle: revoke(principle, person(request), datetime.now(UTC), order.why),
    )


routes = [
    Route("/queue", show),
    Route("/fragments/experiments", experiments),
    Route("/fragments/principles", principles),
    post("/api/experiments/{id}/state", Move, move),
    post("/api/experiments/{id}/parameters", Edit, edit),
    post("/api/experiments/{id}/place", Place, place),
    post("/api/principles/{id}/approve", Approval, approve_principle),
    post("/api/principles/{id}/revoke", Revocation, revoke_principle),
]
