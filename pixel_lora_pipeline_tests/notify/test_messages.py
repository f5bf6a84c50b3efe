from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from pixel_lora_pipeline import notify
from pixel_lora_pipeline.store import Message

REASON = "No new smoothed best for two epochs."

ARMED = datetime(2026, 11, 30, 12, tzinfo=UTC)

# Each event, told of whatever name a file or a run may have.
BUILDERS: dict[str, Callable[[str], Message]] = {
    "converged": lambda name: notify.converged(name, 6, (5, 7), 0.87, REASON, Path("/reports") / name),
    "degrading": lambda name: notify.degrading(name, 9, 6, (6, 6), 0.91, REASON),
    "best_epoch": lambda name: notify.best_epoch(name, 6, 84.25, 80.0, Path("/reports") / name),
    "checkpoint_refused": lambda name: notify.checkpoint_refused(Path("/w") / name, "sig", f"is {name}", f"Do {name}."),
    "run_failed": lambda name: notify.run_failed("1234", "evaluate_checkpoint", name, "test_images", name),
    "budget": lambda name: notify.budget_reached(name, 41.5, 50.0, 0.8, "Nothing was stopped: raise the limit."),
    "machine_news": lambda name: notify.machine_news(
        name, name, ARMED, "stopped", "stopped", f"It has stopped: {name}"
    ),
    "machine_alarm": lambda name: notify.machine_news(name, None, ARMED, "alarm", "1", f"It ignores the stop: {name}"),
    "weekly_report": lambda name: notify.weekly_report(date(2026, 11, 23), f"New: {name}", Path("/reports/w48.html")),
}


@pytest.mark.parametrize("event", BUILDERS)
@pytest.mark.parametrize(
    "name",
    [
        "portraits",
        "a\r\nBcc: all@example.com",
        "\u202ecod.exe",
        "\x00\x1b[31m",
        "@everyone " * 300,
        "caf\udce9",
        "  ",
        "'; rm -rf /",
    ],
)
def test_whatever_a_name_holds_the_message_can_be_sent(event: str, name: str) -> None:
    message = BUILDERS[event](name)
    assert message.event == event
    assert message.subject.isprintable()
    assert len(message.subject) < 250, f"{len(message.subject)} characters"
    assert len(message.body) < 5000, f"{len(message.body)} characters"
    for line in message.body.split("\n"):
        assert line.isprintable(), repr(line)
    assert "@everyone" not in message.subject + message.body, "everybody would be called"
    assert "\nBcc" not in message.body


@pytest.mark.parametrize(
    ("event", "figures"),
    [
        ("converged", ["epoch 5 to 7", "87 %", REASON, "pixel-lora promote portraits 6", "/reports/portraits"]),
        ("degrading", ["at epoch 9", "best at epoch 6", "epoch 6)", "91 %", "stop the training"]),
        ("best_epoch", ["84.2", "+4.2", "80.0", "pixel-lora promote portraits 6"]),
        ("checkpoint_refused", ["is portraits", "Do portraits.", "/w/portraits"]),
        ("run_failed", ["1234", "test_images", "evaluate_checkpoint"]),
        ("budget", ["41.50 of 50.00", "raise the limit"]),
        ("machine_news", ["portraits (run portraits): It has stopped", "auto-stop log portraits"]),
        ("machine_alarm", ["It ignores the stop", "stop it yourself, now"]),
        ("weekly_report", ["New: portraits", "/reports/w48.html"]),
    ],
)
def test_a_message_holds_the_figures_and_what_to_do(event: str, figures: list[str]) -> None:
    body = BUILDERS[event]("portraits").body
    for figure in figures:
        assert figure in body, body


def test_the_same_fact_has_the_same_key_and_news_has_another() -> None:
    def peak(epoch: int, sure: float) -> str:
        return notify.converged("run", epoch, (5, 7), sure, REASON).dedup_key

    assert peak(6, 0.87) == peak(6, 0.91), "an epoch that is evaluated again would be told of again"
    assert peak(6, 0.87) != peak(7, 0.87)
    assert notify.degrading("run", 8, 6, (5, 7), 0.9, REASON).dedup_key == (
        notify.degrading("run", 9, 6, (5, 7), 0.9, REASON).dedup_key
    ), "each further epoch would be told of"
    path = Path("/w/a.safetensors")
    assert notify.checkpoint_refused(path, "1", "x", "y").dedup_key != (
        notify.checkpoint_refused(path, "2", "x", "y").dedup_key
    ), "another content of the same file is other news"
    assert notify.budget_reached("May", 41, 50, 0.8, "x").dedup_key != (
        notify.budget_reached("May", 50, 50, 1.0, "x").dedup_key
    )


def test_only_the_first_line_of_an_error_is_told() -> None:
    message = notify.run_failed("1", "job", None, None, "\n  the disk is full\n  at line 3\n")
    assert "the disk is full" in message.body
    assert "line 3" not in message.body
    assert message.subject == "job failed"


def test_what_happens_to_a_machine_is_news_again_when_it_was_resumed() -> None:
    def stopped(armed_at: datetime, occasion: str = "stopped") -> str:
        return notify.machine_news("p0d", None, armed_at, "stopped", occasion, "It has stopped.").dedup_key

    assert stopped(ARMED) == stopped(ARMED)
    assert stopped(ARMED) != stopped(ARMED + timedelta(hours=1))
    assert stopped(ARMED) != stopped(ARMED, "again")
