"""Trainings on RunPod: a pod each, which leaves its checkpoints in a folder that both sides reach.

A pod has a name that nobody else has, and the name is written down before the pod is asked for. So a pod is found
again even if RunPod's answer was lost or whoever asked has died, and none is asked for twice.

A pod is stopped when its training is over, for one that has finished costs as much as one that trains. It is never
terminated: its disk may hold what could not be uploaded.
"""

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal

from pixel_lora_pipeline.train.remote import Mirrored, RemoteError, mirror, put_file
from pixel_lora_pipeline.train.runpod import (
    Pod,
    PodStatus,
    RunPod,
    RunPodConflictError,
    RunPodError,
    RunPodNotFoundError,
    RunPodRefusedError,
    RunPodRejectedError,
    RunPodUnavailableError,
)
from pixel_lora_pipeline.train.trainers.local_process import control_folder
from pixel_lora_pipeline.train.trainers.runpod.configuration import pod_configuration
from pixel_lora_pipeline.train.trainers.trainer import TrainerError, TrainingState
from pixel_lora_pipeline.whole_file import write_whole

NAME_PREFIX: Final = "pixel-lora-"
"""Every pod of ours is called so; no other is ever touched."""

START_SCRIPT: Final = Path(__file__).with_name("start.sh")
"""What a pod runs; it is laid beside the configuration."""

CONFIG_FILE: Final = "config.toml"
LOG_FILE: Final = "training.log"
END_FILE: Final = "ended.json"
"""What the start script writes when it ends: {"exit_status": 0, "reason": "finished"}."""

# RunPod lists a new pod within seconds. One that it does not list after this was never made.
_APPEARS_WITHIN_SECONDS: Final = 600
_STOP_POLL_SECONDS: Final = 5.0
# A copy may be taken for damaged until there is a second one like it.
_LAST_LOOKS: Final = 3
_TAIL_BYTES: Final = 4096


@dataclass(frozen=True)
class PodPlan:
    """What is rented for a training, and where it leaves its checkpoints.

    Attributes
    ----------
    gpu_types
        RunPod's identifiers; the first that is free is taken.
    checkpoints_url
        fsspec's address of a folder that pods and this machine reach.
    deadline
        After this a pod ends its training and itself.
    """

    template_id: str
    gpu_types: tuple[str, ...]
    cloud: Literal["secure", "community"]
    checkpoints_url: str
    deadline: timedelta


@dataclass(frozen=True)
class _Gone:
    """There is no such pod; `reason` says how that is known."""

    reason: str


class RunPodTrainer:
    """Trains with Kohya's scripts on a pod that is made from a template; see docs/runpod.md.

    Parameters
    ----------
    look_seconds
        How often RunPod and the checkpoints are really looked at: whoever asks again before that hears the same.
    stop_seconds
        For how long a pod is asked to stop before that is given up.
    """

    def __init__(
        self,
        runpod: RunPod,
        plan: PodPlan,
        *,
        look_seconds: float = 15.0,
        stop_seconds: float = 300.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._runpod = runpod
        self._plan = plan
        self._look_seconds = look_seconds
        self._stop_seconds = stop_seconds
        self._sleep = sleep
        self._clock = clock
        self._looks: dict[str, tuple[float, TrainingState]] = {}

    def start(self, config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """As `Trainer.start`; paths in the configuration are those of the pod."""
        control = control_folder(folder)
        control.mkdir(parents=True, exist_ok=True)
        record = control / "training.json"
        if record.exists():
            return self._identified(_known(record), record)
        toml = pod_configuration(config)
        output_name = str(config["output_name"])
        pod_name = f"{NAME_PREFIX}{re.sub(r'[^A-Za-z0-9_-]+', '-', output_name)}-{secrets.token_hex(4)}"
        run_url = f"{self._plan.checkpoints_url}/{pod_name}"
        training = {
            "pod_name": pod_name,
            "run_url": run_url,
            "asked_at": self._clock(),
            "last_checkpoint": str(folder / f"{output_name}.safetensors"),
        }
        try:
            put_file(run_url, CONFIG_FILE, toml.encode())
            put_file(run_url, START_SCRIPT.name, START_SCRIPT.read_bytes())
        except RemoteError as error:
            raise TrainerError(f"No pod was rented, for it could not be told what to train: {error}") from error
        try:
            with record.open("x", encoding="utf-8") as file:
                json.dump(training, file)
        except FileExistsError:  # somebody else was faster
            return self._identified(_known(record), record)
        try:
            pod = self._rent(pod_name, run_url, output_name)
        except TrainerError:
            record.unlink()
            raise
        return self._identified(training, record) if pod is None else _identified_as(pod, training, record)

    def look(self, training: Mapping[str, Any]) -> TrainingState:
        """As `Trainer.look`; what is new of its checkpoints is fetched, and a pod that has finished is stopped.

        Where RunPod or the checkpoints cannot be reached, the training counts as running: it may cost money.
        """
        now, name = time.monotonic(), str(training["pod_name"])
        known = self._looks.get(name)
        if known is not None and known[1].is_running and now - known[0] < self._look_seconds:
            return known[1]
        state = self._look(training)
        self._looks[name] = now, state
        return state

    def stop(self, training: Mapping[str, Any]) -> None:
        """As `Trainer.stop`: asks the pod to stop, until RunPod says that it has."""
        self._looks.pop(str(training["pod_name"]), None)
        last, until, waited = "RunPod has not answered", time.monotonic() + self._stop_seconds, 0.0
        while waited < self._stop_seconds and time.monotonic() < until:
            try:
                pod = self._find(training)
                if isinstance(pod, _Gone) or (pod is not None and _costs_no_longer(pod)):
                    return
                if pod is not None:
                    last = f"it is {pod.stated_status}" + (" and locked" if pod.locked else "")
                    self._runpod.stop(pod.id)
            except RunPodConflictError as error:
                last = error.fault
            except RunPodRefusedError as error:
                raise TrainerError(f"Pod {training['pod_name']} is not stopped, and costs money. {error}") from error
            except RunPodError as error:
                last = str(error)
            self._sleep(_STOP_POLL_SECONDS)
            waited += _STOP_POLL_SECONDS
        raise TrainerError(
            f"Pod {training['pod_name']} does not stop ({last}), and may go on costing money: stop it by hand, in "
            "RunPod's console."
        )

    def _rent(self, pod_name: str, run_url: str, output_name: str) -> Pod | None:
        """A new pod; None if nobody knows whether there is one.

        Raises
        ------
        TrainerError
            If there certainly is none.
        """
        env = {
            "PIXEL_LORA_RUN_URL": run_url,
            "PIXEL_LORA_OUTPUT_NAME": output_name,
            "PIXEL_LORA_DEADLINE_SECONDS": str(round(self._plan.deadline.total_seconds())),
        }
        refusals = []
        for gpu_type in self._plan.gpu_types:
            try:
                return self._runpod.create_pod(pod_name, self._plan.template_id, gpu_type, self._plan.cloud, env)
            except RunPodNotFoundError as error:
                raise TrainerError(f"There is no template {self._plan.template_id}: {error}") from error
            except (RunPodRejectedError, RunPodRefusedError, RunPodConflictError) as error:
                refusals.append(f"{gpu_type}: {error.fault}")
            except RunPodUnavailableError:
                return None  # its name finds it, if it was made
        raise TrainerError("RunPod rents us no pod.\n  " + "\n  ".join(refusals))

    def _identified(self, training: dict[str, Any], record: Path) -> dict[str, Any]:
        """The training with its pod's id, if RunPod tells it now; without one, it is found by its name."""
        if "pod_id" in training:
            return training
        try:
            pod = self._find(training)
        except RunPodError:
            return training
        return _identified_as(pod, training, record) if isinstance(pod, Pod) else training

    def _find(self, training: Mapping[str, Any]) -> Pod | _Gone | None:
        """The training's pod; None if RunPod has not shown it yet.

        Raises
        ------
        RunPodError
            If RunPod does not say.
        """
        if "pod_id" in training:
            try:
                return self._runpod.pod(training["pod_id"])
            except RunPodNotFoundError:
                return _Gone("its pod is gone: somebody has terminated it")
        found = self._runpod.pods_named(training["pod_name"])
        if len(found) > 1:
            # The running one first: it is what costs.
            found.sort(key=lambda pod: pod.is_stopped)
        if found:
            return found[0]
        if self._clock() - training["asked_at"] < _APPEARS_WITHIN_SECONDS:
            return None
        return _Gone(f"RunPod has no pod {training['pod_name']}: it was never made, or somebody has terminated it")

    def _look(self, training: Mapping[str, Any]) -> TrainingState:
        try:
            pod = self._find(training)
        except RunPodError as error:
            self._collect(training)
            return _running(str(error))
        if pod is None:
            return _running("RunPod was asked for a pod, and has not shown it yet")
        if isinstance(pod, _Gone) or pod.is_stopped or pod.status is PodStatus.ERROR:
            return self._end(training, pod)
        brought = self._collect(training)
        reason = _reason_to_stop(training)
        if reason is not None:
            return self._stop_finished(pod, reason)
        if isinstance(brought, RemoteError):
            return _running(f"pod {pod.id} is {pod.stated_status}; {brought}")
        return _running(_last_line(training) or f"pod {pod.id} is {pod.stated_status}")

    def _collect(self, training: Mapping[str, Any]) -> Mirrored | RemoteError:
        try:
            return mirror(training["run_url"], Path(training["last_checkpoint"]).parent)
        except RemoteError as error:
            return error

    def _stop_finished(self, pod: Pod, reason: str) -> TrainingState:
        told = f"{reason}; its pod {pod.id} is being stopped"
        if pod.locked:
            return _running(
                f"{reason}, but its pod {pod.id} is locked and goes on costing {pod.cost} US$ an hour: unlock it in "
                "RunPod's console"
            )
        try:
            self._runpod.stop(pod.id)
        except RunPodConflictError:
            return _running(told)
        except RunPodError as error:
            return _running(f"{told}: {error}")
        return _running(told)

    def _end(self, training: Mapping[str, Any], pod: Pod | _Gone) -> TrainingState:
        """How a training stands whose pod trains no longer: what it has saved is fetched first."""
        for _ in range(_LAST_LOOKS):
            brought = self._collect(training)
            if isinstance(brought, RemoteError):
                return _running(f"its pod has ended, and its checkpoints are still to be fetched: {brought}")
            if not brought.waiting:
                break
        if Path(training["last_checkpoint"]).is_file():
            return TrainingState(is_running=False, is_complete=True, failure=None, progress=_last_line(training))
        ended = pod.reason if isinstance(pod, _Gone) else f"its pod is {pod.stated_status} before its last checkpoint"
        if isinstance(pod, Pod) and not _costs_no_longer(pod):
            ended += f", and costs {pod.cost} US$ an hour: see to it in RunPod's console"
        said = _last_line(training)
        failure = f"{said} ({ended})" if said else ended
        return TrainingState(is_running=False, is_complete=False, failure=failure, progress=said)


def _identified_as(pod: Pod, training: dict[str, Any], record: Path) -> dict[str, Any]:
    identified = {**training, "pod_id": pod.id}
    write_whole(record, json.dumps(identified).encode())
    return identified


def _running(progress: str) -> TrainingState:
    return TrainingState(is_running=True, is_complete=False, failure=None, progress=progress)


def _costs_no_longer(pod: Pod) -> bool:
    return pod.is_stopped or (pod.status is PodStatus.ERROR and pod.cost == 0)


def _reason_to_stop(training: Mapping[str, Any]) -> str | None:
    """Why its pod has nothing more to do; None while it trains."""
    last = Path(training["last_checkpoint"])
    if last.is_file():
        return "its last checkpoint is here"
    try:
        end = json.loads((last.parent / END_FILE).read_bytes())
        return f"its trainer has ended with status {int(end['exit_status'])} ({end['reason']})"
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _known(record: Path) -> dict[str, Any]:
    content = record.read_text(encoding="utf-8")
    if not content:
        raise TrainerError(
            f"{record} says that a pod was about to be rented when whoever did it died: nobody knows whether it was. "
            f"Look for a pod called {NAME_PREFIX}… in RunPod's console, and propose the experiment again."
        )
    training: dict[str, Any] = json.loads(content)
    return training


def _last_line(training: Mapping[str, Any]) -> str:
    """The last that the trainer has written; a progress bar writes over its own line."""
    try:
        tail = (Path(training["last_checkpoint"]).parent / LOG_FILE).read_bytes()[-_TAIL_BYTES:]
    except OSError:
        return ""
    lines = [line.strip() for line in re.split(r"[\r\n]+", tail.decode("utf-8", errors="replace"))]
    return next((line for line in reversed(lines) if line), "")
