"""`pixel-lora predict`: what a training will probably achieve, before money is spent on it."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from pixel_lora_pipeline.config import Settings

if TYPE_CHECKING:
    from pixel_lora_pipeline.improve import Calibration, Prediction

# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


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
