"""What a training reports while it runs, as Dagster shows it: lines of a run's log, and points of a plot.

Dagster's own readers of Pipes messages make an empty file when a session opens and delete it when it closes, because
there the process that writes ends with the run. A training goes on when its run is killed, and another run takes it
over: so the file stays with the training, and how far it was read stands beside it.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import Any, Final

import dagster as dg

from pixel_lora_pipeline.defs.execution import OWNERS
from pixel_lora_pipeline.train.trainers import ReportingTrainer, Trainer
from pixel_lora_pipeline.whole_file import write_whole

training_progress = dg.AssetSpec(
    "training_progress",
    description="How the trainings that we started stand while they run: loss, learning rate, epoch and step, a "
    "partition a training. These are observations; the checkpoints are evaluated as they land.",
    group_name="train",
    kinds={"tensorboard"},
    owners=OWNERS,
)

_LOOK_SECONDS: Final = 0.1
# What is left to say when a training has ended is said at once.
_LAST_WORD_SECONDS: Final = 15.0


class KeptMessagesReader(dg.PipesMessageReader):
    """Reads messages from a file that stays, each once, whichever run reads it.

    A message counts as read when it was handled: a run that is killed in between leaves it to the next.

    Parameters
    ----------
    path
        The file.
    observe
        Given each report of numbers.
    """

    def __init__(self, path: Path, observe: Callable[[Mapping[str, Any]], None]) -> None:
        self._path = path
        self._position = path.with_suffix(".read")
        self._observe = observe

    @contextmanager
    def read_messages(self, handler: dg.PipesMessageHandler) -> Iterator[dict[str, Any]]:
        """As Dagster's: a thread handles messages until the session closes."""
        self._path.touch()
        is_over = Event()
        thread = Thread(target=self._read_on, args=(handler, is_over), daemon=True)
        thread.start()
        try:
            yield {"path": str(self._path)}
        finally:
            is_over.set()
            thread.join()

    def no_messages_debug_text(self) -> str:
        """Where they were looked for."""
        return f"Attempted to read messages from {self._path}."

    def _read_on(self, handler: dg.PipesMessageHandler, is_over: Event) -> None:
        try:
            self._read(handler, is_over)
        except Exception:  # in a thread, nobody else would see it
            handler.report_pipes_framework_exception(f"{type(self).__name__} reader thread", sys.exc_info())
            raise

    def _read(self, handler: dg.PipesMessageHandler, is_over: Event) -> None:
        read_to = int(self._position.read_text()) if self._position.is_file() else 0
        with self._path.open("rb") as file:
            if read_to:  # the writer has said to the run before that it is there, and this session has to know
                handler.handle_message(json.loads(file.readline()))
            file.seek(read_to)
            while True:
                at, was_over, line = file.tell(), is_over.is_set(), file.readline()
                if line.endswith(b"\n"):
                    self._handle(handler, json.loads(line))
                    write_whole(self._position, str(file.tell()).encode())
                elif was_over:
                    return
                else:  # half a line is read again when it is whole
                    file.seek(at)
                    is_over.wait(_LOOK_SECONDS)

    def _handle(self, handler: dg.PipesMessageHandler, message: Any) -> None:
        handler.handle_message(message)
        if message["method"] == "report_custom_message":
            self._observe(message["params"]["payload"])


@contextmanager
def reported_progress(
    context: dg.OpExecutionContext, trainer: Trainer, training: Mapping[str, Any]
) -> Iterator[Callable[[], None] | None]:
    """Show what a training reports while it is followed.

    Yields what has to be called now and then, to see that it is still reported on; None if its trainer does not report.
    """
    if not isinstance(trainer, ReportingTrainer):
        yield None
        return
    name = Path(training["last_checkpoint"]).stem

    def observe(report: Mapping[str, Any]) -> None:
        # Of the instance and not of the op, whose events would wait for its end.
        observed = dg.AssetObservation(training_progress.key, partition=name, metadata=dict(report))
        context.instance.report_runless_asset_event(observed)

    reader = KeptMessagesReader(trainer.messages(training), observe)
    with dg.open_pipes_session(context, dg.PipesEnvContextInjector(), reader) as session:
        keep_reported = partial(trainer.report, training, session.get_bootstrap_env_vars())
        keep_reported()
        yield keep_reported
        _wait_for_the_last_word(session)


def _wait_for_the_last_word(session: dg.PipesSession) -> None:
    deadline = time.monotonic() + _LAST_WORD_SECONDS
    while not session.message_handler.received_closed_message and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
