"""`pixel-lora predict`, `hypotheses` and `experiments`: what to run next, and what it will probably achieve."""

import json
import sys
from dataclasses import asdict
from getpass import getuser
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pixel_lora_pipeline.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pixel_lora_pipeline.improve import Calibration, Prediction
    from pixel_lora_pipeline.store import Experiments

# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
ExperimentId = Annotated[int, typer.Argument(help="As `pixel-lora experiments` lists it.")]

experiments_app = typer.Typer(
    invoke_without_command=True, help="The queue of experiments; without a command it is listed."
)


def predict(
    parameters: Annotated[
        list[str] | None, typer.Argument(help="As network_dim=64 learning_rate=1e-4; what is left out is not known.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="What to predict; by default what matters most.")] = None,
    as_json: Json = False,
) -> None:
    """Predict what a training will achieve; without parameters, say how earlier predictions turned out."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.improving import ParameterError, calibration, read_assignments
    from pixel_lora_pipeline.improving import predict as predict_outcome
    from pixel_lora_pipeline.training_history import read_history

    try:
        assigned = read_assignments(parameters or [])
    except ParameterError as error:
        raise typer.BadParameter(str(error)) from error
    with configured_store(Settings()) as store:
        history = read_history(store)
        found = predict_outcome(store, history, assigned, metric) if assigned else calibration(store, history)
    if as_json:
        print(json.dumps(found.to_dict()))
    else:
        console.print(_shown(found), soft_wrap=True)


def _shown(found: "Prediction | Calibration") -> str:
    from pixel_lora_pipeline.improve import Calibration

    if isinstance(found, Calibration):
        return escape(found.verdict)
    low, high = found.interval
    return "\n".join(
        (
            f"[bold]{found.metric}: {found.predicted:.3g}[/] ({found.level:.0%}: {low:.3g} to {high:.3g})",
            f"Risk: {found.risk}",
            f"Recommendation: [bold]{escape(found.advice)}[/]",
            f"Reason: {escape(found.reason)}",
            f"Model: {escape(found.model)}, skill {found.skill:.2f}; {found.n_runs} runs",
        )
    )


def hypotheses(as_json: Json = False) -> None:
    """Propose what to run next, three to five experiments, and put them into the queue."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.improving import propose, queue_document
    from pixel_lora_pipeline.training_history import read_history

    settings = Settings()
    with configured_store(settings) as store:
        proposals = propose(store, read_history(store), settings.search_space)
        document = queue_document(store)
    if as_json:
        found = [hypothesis.to_dict() for hypothesis in proposals.hypotheses]
        print(json.dumps({"hypotheses": found, "left_out": [asdict(each) for each in proposals.left_out]}))
        return
    print(document)
    for each in proposals.left_out:
        console.print(f"Left out: {escape(each.title)}, because {escape(each.reason)}", soft_wrap=True)


@experiments_app.callback()
def experiments(
    context: typer.Context,
    markdown: Annotated[bool, typer.Option("--markdown", help="As a document for people.")] = False,
    as_json: Json = False,
) -> None:
    """List the experiments: under way, queued, proposed, ended."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.improving import queue_document

    if context.invoked_subcommand is not None:
        return
    with configured_store(Settings()) as store:
        found = store.experiments.all()
        document = queue_document(store)
    if as_json:
        print(json.dumps([asdict(experiment) for experiment in found], default=str))
    elif markdown:
        print(document)
    else:
        table = Table("id", "experiment", "state", "priority", "parameters", "outcome")
        for experiment in found:
            changes = experiment.proposal.get("changes") or ()
            told = ", ".join(f"{each['parameter']}: {each['before']} → {each['after']}" for each in changes)
            outcome = "–" if experiment.outcome is None else json.dumps(experiment.outcome)
            decided = (experiment.title, experiment.state, experiment.priority)
            table.add_row(str(experiment.experiment_id), *map(escape, (*decided, told, outcome)))
        console.print(table)


@experiments_app.command()
def approve(experiment_id: ExperimentId) -> None:
    """Queue an experiment: it may be started."""
    _decide(lambda queue: queue.move_to(experiment_id, "QUEUED", getuser()))


@experiments_app.command()
def cancel(experiment_id: ExperimentId, why: Annotated[str, typer.Option(help="For the record.")] = "") -> None:
    """Take an experiment off the queue for good."""
    _decide(lambda queue: queue.move_to(experiment_id, "SKIPPED", getuser(), why))


@experiments_app.command()
def edit(
    experiment_id: ExperimentId,
    parameters: Annotated[list[str], typer.Argument(help="As network_dim=32.")],
) -> None:
    """Change parameters of an experiment that was not started."""
    from pixel_lora_pipeline.improving import ParameterError, read_assignments

    try:
        changes = read_assignments(parameters)
    except ParameterError as error:
        raise typer.BadParameter(str(error)) from error
    _decide(lambda queue: queue.edit(experiment_id, changes, getuser()))


@experiments_app.command()
def move(
    experiment_id: ExperimentId,
    before: Annotated[int | None, typer.Option(help="Id of the experiment in front of which it goes.")] = None,
) -> None:
    """Move an experiment within the queue; to its end by default."""
    _decide(lambda queue: queue.place_before(experiment_id, before, getuser()))


def _decide(decision: "Callable[[Experiments], None]") -> None:
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.store import ExperimentStateError, UnknownExperimentError

    with configured_store(Settings()) as store:
        try:
            decision(store.experiments)
        except (ExperimentStateError, UnknownExperimentError) as error:
            raise typer.BadParameter(str(error)) from error
