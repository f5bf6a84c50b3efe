"""What people are told: one function for each kind of news.

Names, paths and reasons come from files and programs that nobody vouches for: each is put on one line, without
control characters and without words that call everybody. Markup in them stays text, which is seen to when sending.
"""

import re
import shlex
from datetime import date, datetime
from pathlib import Path
from typing import Final

from pixel_lora_pipeline.store import Message
from pixel_lora_pipeline.train.auto_stop import Topic
from pixel_lora_pipeline.train.errors import printable

_LONGEST_NAME: Final = 80
_LONGEST_TEXT: Final = 1000
_CALL_TO_ALL: Final = re.compile(r"@(?=(?:everyone|here|channel)\b)", re.IGNORECASE)  # chats ring for these


def converged(
    run_name: str,
    best_epoch: int,
    interval: tuple[int, int],
    confidence: float,
    reason: str,
    report: Path | None = None,
) -> Message:
    """A run gains nothing by going on.

    Parameters
    ----------
    best_epoch, interval
        The epoch to take, and between which epochs the best one lies with 80 % probability.
    confidence
        Probability, 0 to 1, that going on would not help.
    reason
        One sentence.
    """
    run = _line(run_name, _LONGEST_NAME)
    return Message(
        "converged",
        f"converged:{run_name}:{best_epoch}",
        f"{run} has converged: epoch {best_epoch} is best",
        _paragraphs(
            f"Epoch {best_epoch} of {run} is best ({_between(interval)}); going on would not help "
            f"({_percent(confidence)} sure). {_line(reason)}",
            "What to do: stop the training if it still runs. If you like what the report shows, "
            f"{_promotion(run_name, best_epoch)}",
            _where(report),
        ),
        {"run": run_name, "best_epoch": best_epoch, "interval": interval, "confidence": confidence},
    )


def degrading(
    run_name: str,
    epoch: int,
    best_epoch: int,
    interval: tuple[int, int],
    confidence: float,
    reason: str,
    report: Path | None = None,
) -> Message:
    """A run has passed its peak and gets worse. Told once for each peak.

    Parameters
    ----------
    epoch
        The newest.
    best_epoch, interval
        The peak, and between which epochs it lies with 80 % probability.
    confidence
        Probability, 0 to 1, that going on would not help.
    reason
        One sentence.
    """
    run = _line(run_name, _LONGEST_NAME)
    return Message(
        "degrading",
        f"degrading:{run_name}:{best_epoch}",
        f"{run} gets worse since epoch {best_epoch}",
        _paragraphs(
            f"{run} is at epoch {epoch} and was best at epoch {best_epoch} ({_between(interval)}); going on would "
            f"not help ({_percent(confidence)} sure). {_line(reason)}",
            "What to do: stop the training, and keep the checkpoint of its best epoch. If you like what the report "
            f"shows, {_promotion(run_name, best_epoch)}",
            _where(report),
        ),
        {
            "run": run_name,
            "epoch": epoch,
            "best_epoch": best_epoch,
            "interval": interval,
            "confidence": confidence,
        },
    )


def best_epoch(
    run_name: str, epoch: int, score: float, baseline: float | None = None, report: Path | None = None
) -> Message:
    """A run is over and its best epoch is known.

    Parameters
    ----------
    score, baseline
        Overall score of the epoch and of the production checkpoint on the same prompts, 0 to 100; None without one.
    """
    run = _line(run_name, _LONGEST_NAME)
    compared = "" if baseline is None else f", {score - baseline:+.1f} against production ({baseline:.1f})"
    return Message(
        "best_epoch",
        f"best_epoch:{run_name}:{epoch}",
        f"Epoch {epoch} is the best of {run}",
        _paragraphs(
            f"{run} is evaluated. Its best epoch is {epoch}, with an overall score of {score:.1f} of 100{compared}.",
            f"What to do: look at the report. If you like what you see, {_promotion(run_name, epoch)}",
            _where(report),
        ),
        {"run": run_name, "epoch": epoch, "score": score, "baseline": baseline},
    )


def checkpoint_refused(path: Path, signature: str, fault: str, remedy: str) -> Message:
    """A file was set aside and is not evaluated.

    Parameters
    ----------
    signature
        Of its content: other content under the same name is other news.
    fault
        What is wrong with it, as the rest of a sentence that begins with the file's name.
    remedy
        What to do, in full sentences.
    """
    name = _line(path.name, _LONGEST_NAME)
    return Message(
        "checkpoint_refused",
        f"checkpoint_refused:{signature}:{path}",
        f"{name} was refused",
        _paragraphs(
            f"{name} {_line(fault).rstrip('.')}. It is not evaluated.",
            f"What to do: {_line(remedy)}",
            f"File: {_line(str(path))}",
        ),
        {"path": str(path), "signature": signature, "fault": fault, "remedy": remedy},
    )


def run_failed(run_id: str, job: str, partition: str | None, step: str | None, error: str) -> Message:
    """A run of the pipeline failed and is not tried again by itself.

    Parameters
    ----------
    partition
        Which checkpoint or training run it was about, if any.
    error
        What was said; its first line is shown.
    """
    job, about = _line(job, _LONGEST_NAME), "" if partition is None else f" for {_line(partition, _LONGEST_NAME)}"
    place = "" if step is None else f" in step {_line(step, _LONGEST_NAME)}"
    said = next((line for line in error.splitlines() if line.strip()), "nothing")
    return Message(
        "run_failed",
        f"run_failed:{run_id}",
        f"{job} failed{about}",
        _paragraphs(
            f"Run {run_id} of {job} failed{place}{about}. It is not tried again by itself.",
            f"It said: {_line(said)}",
            f"What to do: open run {run_id} in Dagster's UI for the whole error, put its cause right, and re-execute "
            "it from the failed step.",
        ),
        {"run_id": run_id, "job": job, "partition": partition, "step": step, "error": said},
    )


def budget_reached(name: str, spent_usd: float, limit_usd: float, share: float, consequence: str) -> Message:
    """A budget is used up to one of its thresholds. Told once for each threshold of each limit.

    Parameters
    ----------
    name
        Whose budget: a run, a month.
    share
        The threshold that was passed, 0.8 for 80 %.
    consequence
        What the pipeline does about it and what a person can do, in full sentences.
    """
    return Message(
        "budget",
        f"budget:{name}:{limit_usd:.2f}:{share:.2f}",
        f"Budget {_line(name, _LONGEST_NAME)}: {_percent(share)} spent",
        _paragraphs(
            f"{spent_usd:.2f} of {limit_usd:.2f} US$ of the budget {_line(name, _LONGEST_NAME)} are spent.",
            f"What to do: {_line(consequence)}",
        ),
        {"name": name, "spent_usd": spent_usd, "limit_usd": limit_usd, "share": share},
    )


def machine_news(
    machine: str, run_name: str | None, armed_at: datetime, topic: Topic, occasion: str, text: str
) -> Message:
    """Something has happened with a machine that the guard watches. Told once for each occasion.

    Parameters
    ----------
    machine, run_name
        Which pod, process or training, and whose run is on it, if that is known.
    armed_at
        Since when it is watched: what happens to a machine that was resumed is news again.
    topic, occasion, text
        As `News` has them.
    """
    name = _line(machine, _LONGEST_NAME)
    headline, remedy = _MACHINE_NEWS[topic]
    return Message(
        "machine_alarm" if topic == "alarm" else "machine_news",
        f"machine:{machine}:{armed_at.isoformat()}:{topic}:{occasion}",
        headline.format(name),
        _paragraphs(
            f"{name}{'' if run_name is None else f' (run {_line(run_name, _LONGEST_NAME)})'}: {_line(text)}",
            f"What to do: {remedy} `pixel-lora auto-stop log {_line(shlex.quote(machine))}` shows every decision.",
        ),
        {"machine": machine, "run": run_name, "topic": topic, "occasion": occasion},
    )


_MACHINE_NEWS: Final[dict[Topic, tuple[str, str]]] = {
    "warning": (
        "{} has used up most of its limit",
        "nothing yet. At the limit it is stopped, or you are told, as auto_stop.mode says.",
    ),
    "advice": ("{} should be stopped", "stop it yourself: the guard may not."),
    "alarm": ("{} still runs, and should not", "stop it yourself, now, in its provider's console."),
    "unreadable": ("{} cannot be watched properly", "see whether it still runs, and put right what is said here."),
    "refused": ("{} should be stopped, but is locked", "unlock it in its provider's console, or stop it yourself."),
    "withdrawn": ("{} was to be stopped and may still run", "see whether it still runs, and stop it yourself."),
    "stopped": ("{} was stopped", "nothing. Its disk is kept, and may cost something; resume it to go on."),
    "gone": ("{} is gone", "nothing, if you have terminated it yourself; else ask its provider."),
}


def weekly_report(week_begins: date, summary: str, report: Path) -> Message:
    """The report on what the parameters do is there.

    Parameters
    ----------
    summary
        What is new this week, in a sentence or two.
    """
    return Message(
        "weekly_report",
        f"weekly_report:{week_begins.isoformat()}",
        f"What the parameters do: week of {week_begins.isoformat()}",
        _paragraphs(_line(summary), _where(report)),
        {"week_begins": week_begins.isoformat(), "report": str(report)},
    )


def trial() -> Message:
    """What `pixel-lora notify test` sends."""
    return Message(
        "test",
        "test",
        "Pixel LoRA Pipeline: this channel works",
        "You asked for this message with `pixel-lora notify test`. News of your trainings will arrive here.",
    )


def _line(text: str, limit: int = _LONGEST_TEXT) -> str:
    """Foreign text as it may stand in a subject or a sentence."""
    return printable(_CALL_TO_ALL.sub("\N{FULLWIDTH COMMERCIAL AT}", " ".join(text.split())), limit)


def _paragraphs(*parts: str | None) -> str:
    return "\n\n".join(part for part in parts if part)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _between(interval: tuple[int, int]) -> str:
    first, last = interval
    return f"80 % interval: epoch {first}" + ("" if first == last else f" to {last}")


def _promotion(run_name: str, epoch: int) -> str:
    return f"make it the production checkpoint: pixel-lora promote {_line(shlex.quote(run_name))} {epoch}"


def _where(report: Path | None) -> str | None:
    return None if report is None else f"Report: {_line(str(report))}"
