"""`pixel-lora evidence`, `diagnose`, `principles` and `impact-report`: what all runs together say."""

import json
import sys
import webbrowser
from datetime import UTC, datetime
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pixel_lora_pipeline.config import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from pixel_lora_pipeline.learn import Principle
    from pixel_lora_pipeline.learning import DiagnosedRun

# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

principles_app = typer.Typer(
    invoke_without_command=True, help="Rules that held up over the runs; without a command they are listed."
)


def evidence(
    metric: Annotated[str | None, typer.Argument(help="A metric, as background_accuracy; all by default.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many parameters of each.")] = 10,
    as_json: Json = False,
) -> None:
    """Say which parameters act on the metrics, how sure that is, and what cannot be told."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.learning import learn_evidence
    from pixel_lora_pipeline.training_history import read_history

    with configured_store(Settings()) as store:
        history = read_history(store)
        learn_evidence(store, history)
        found = store.knowledge.evidence()
    if metric is not None and metric not in found:
        known = ", ".join(history.metrics) or "none yet: no run has ended"
        raise typer.BadParameter(f"nothing is known of {metric}. Metrics: {known}.")
    shown = {name: found[name] for name in history.metrics if metric in (None, name)}
    if as_json:
        print(json.dumps(shown))
        return
    for name, rows in shown.items():
        console.print(_evidence_table(name, rows[:top]))
    if history.runs.empty:
        console.print("No run has ended yet: there is nothing to learn from.")
    else:
        configurations = history.runs["configuration"].nunique()
        console.print(f"{len(history.runs)} runs have ended, of {configurations} configurations.")
    for version, count in history.left_out.items():
        console.print(f"{count} were measured by version {escape(version)} of the metrics: see `pixel-lora remeasure`.")


def diagnose(
    training_run: Annotated[str | None, typer.Option(help="Name of the run; the newest by default.")] = None,
    as_json: Json = False,
) -> None:
    """Explain the issues of a run: causes, how sure they are, what to change, and the past runs that say so."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.learning import diagnose_run
    from pixel_lora_pipeline.training_history import read_history

    with configured_store(Settings()) as store:
        diagnosed = diagnose_run(store, read_history(store), training_run)
    if as_json:
        document = {"run": diagnosed.run_name, "epoch": diagnosed.epoch, "next_steps": diagnosed.next_steps}
        print(json.dumps({**document, "issues": diagnosed.to_documents()}))
        return
    _print_diagnosis(diagnosed)


def impact_report(
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write the report on what the parameters do, and print where it lies."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.learning import learn_evidence, learn_principles, write_impact_report
    from pixel_lora_pipeline.training_history import read_history

    settings = Settings()
    with configured_store(settings) as store:
        history = read_history(store)
        found = learn_evidence(store, history)
        learn_principles(store, history, found)
        page = write_impact_report(store, settings.home / "reports", history, found)
    print(page)
    if open_it:
        webbrowser.open(page.resolve().as_uri())


@principles_app.callback()
def principles(context: typer.Context, as_json: Json = False) -> None:
    """List the rules that held up, with what each lacks to be relied upon."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.learning import assess_history, learn_principles
    from pixel_lora_pipeline.training_history import read_history

    if context.invoked_subcommand is not None:
        return
    with configured_store(Settings()) as store:
        history = read_history(store)
        found = learn_principles(store, history, assess_history(history))
    if as_json:
        print(json.dumps([principle.to_dict() for principle in found]))
        return
    if not found:
        console.print("No principle is stated yet: the evidence has to be nearly sure. See `pixel-lora evidence`.")
        return
    table = Table("id", "principle", "status", "probability", "confirmed by", "against", "why, and what it lacks")
    for principle in found:
        why = "; lacks ".join([principle.reason, *([" and ".join(principle.lacks())] if principle.lacks() else [])])
        table.add_row(
            principle.id,
            escape(principle.statement),
            principle.status,
            f"{principle.pip:.2f}",
            escape(", ".join(principle.confirming_runs)) or "–",
            escape(", ".join(principle.counter_examples)) or "–",
            escape(why),
        )
    console.print(table)


@principles_app.command()
def approve(principle_id: Annotated[str, typer.Argument(help="As `pixel-lora principles` lists it.")]) -> None:
    """Make a principle hard: no experiment is proposed against it any more."""
    from pixel_lora_pipeline.learn import approve as approved

    _decide(principle_id, lambda principle: approved(principle, getuser(), datetime.now(UTC)))


@principles_app.command()
def revoke(
    principle_id: Annotated[str, typer.Argument(help="As `pixel-lora principles` lists it.")],
    why: Annotated[str, typer.Option(help="For those who come after.")],
) -> None:
    """Retire a principle for good; it is kept with the reason."""
    from pixel_lora_pipeline.learn import revoke as revoked

    _decide(principle_id, lambda principle: revoked(principle, getuser(), datetime.now(UTC), why))


def _decide(principle_id: str, decision: "Callable[[Principle], Principle]") -> None:
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.learning import UnknownPrincipleError, decide_on_principle

    with configured_store(Settings()) as store:
        try:
            decided = decide_on_principle(store, principle_id, decision)
        except (UnknownPrincipleError, ValueError) as error:
            raise typer.BadParameter(str(error)) from error
    console.print(f"{escape(decided.statement)}: {decided.status}, {escape(decided.reason)}")


def _evidence_table(metric: str, rows: list[dict[str, Any]]) -> Table:
    table = Table(
        *("parameters", "category", "probability", "effect (95 %)", "r", "p", "q", "runs", "why"),
        title=escape(metric),
        title_justify="left",
    )
    for row in rows:
        effect = "–"
        if row["effect"] is not None:
            effect = f"{row['effect']:.3g} ({row['effect_low']:.3g} to {row['effect_high']:.3g})"
        numbers = ("–" if row[name] is None else f"{row[name]:.2g}" for name in ("pearson_r", "p_exact", "q_bh"))
        category = f"{row['category']}{' ALIASED' if row['aliased'] else ''}"
        table.add_row(
            escape(", ".join(row["parameters"])),
            category,
            f"{row['pip']:.2f}",
            effect,
            *numbers,
            str(row["n_runs"]),
            escape(row["reason"]),
        )
    return table


def _print_diagnosis(diagnosed: "DiagnosedRun") -> None:
    console.print(f"[bold]{escape(diagnosed.run_name)}[/], as of epoch {diagnosed.epoch}")
    if not diagnosed.issues:
        console.print("No issue was measured.")
    for issue, causes in zip(diagnosed.issues, diagnosed.causes, strict=True):
        console.print(f"\n[bold]Issue: {escape(issue['label'])}[/] ({issue['state']})")
        if not causes:
            console.print("  It is resolved.")
        for cause in causes:
            console.print(f"  Root cause: {escape(cause.cause)}", soft_wrap=True)
            console.print(f"    Confidence: {cause.confidence:.0%}")
            console.print(f"    Recommendation: {escape(cause.recommendation)}", soft_wrap=True)
            console.print(f"    Historical evidence: {escape(cause.evidence.sentence)}", soft_wrap=True)
