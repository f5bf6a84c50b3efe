"""Pods and processes, as the guard looks at them and stops them."""

import os
import socket
import time
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Protocol

import psutil

from pixel_lora_pipeline.train.auto_stop.reading import MachineReading
from pixel_lora_pipeline.train.runpod import (
    Pod,
    PodStatus,
    RunPod,
    RunPodConflictError,
    RunPodError,
    RunPodNotFoundError,
)
from pixel_lora_pipeline.train.trainers import LocalProcess, Trainer, TrainerError

# Whatever says otherwise is no price.
_HIGHEST_RATE: Final = Decimal(1000)


class MachineError(RuntimeError):
    """A machine was asked to stop, and said no or nothing: says what came of it."""


class Machine(Protocol):
    """What can be looked at and stopped, and nothing else."""

    def look(self) -> MachineReading:
        """How it stands; faults are a reading, too."""

    def stop(self) -> str:
        """Ask it to stop, and return what it answered. Whether it has stopped, `look` says.

        Raises
        ------
        MachineError
            If it refused, or did not answer.
        """


class PodMachine:
    """A pod of RunPod, known by its id: no other is ever asked about, whatever its name."""

    def __init__(self, client: RunPod, pod_id: str) -> None:
        self._client = client
        self._pod_id = pod_id

    def look(self) -> MachineReading:
        """As `Machine.look`."""
        try:
            pod = self._client.pod(self._pod_id)
        except RunPodNotFoundError as error:
            return MachineReading("gone", str(error))
        except RunPodError as error:
            return MachineReading("unknown", str(error))
        return read_pod(pod, self._pod_id)

    def stop(self) -> str:
        """As `Machine.stop`; that a pod cannot be stopped now is an answer, and not believed to mean that it is."""
        try:
            return f"RunPod has accepted it; the pod is {self._client.stop(self._pod_id).stated_status}."
        except RunPodConflictError as error:
            return str(error)
        except RunPodError as error:
            raise MachineError(str(error)) from error


class NamedPodMachine:
    """A pod that was rented for a training of ours, and of which nobody has heard the id: RunPod's answer was lost.

    Parameters
    ----------
    name
        The whole of it. The trainer draws a part of it by lot, so that no other pod is called so.
    """

    def __init__(self, client: RunPod, name: str) -> None:
        self._client = client
        self._name = name

    def look(self) -> MachineReading:
        """As `Machine.look`."""
        try:
            found = self._found()
        except MachineError as error:
            return MachineReading("unknown", str(error))
        return MachineReading("gone", f"RunPod has no pod {self._name}") if found is None else found.look()

    def stop(self) -> str:
        """As `Machine.stop`."""
        found = self._found()
        if found is None:
            raise MachineError(f"RunPod has no pod {self._name}")
        return found.stop()

    def _found(self) -> PodMachine | None:
        try:
            pods = self._client.pods_named(self._name)
        except RunPodError as error:
            raise MachineError(str(error)) from error
        if len(pods) > 1:
            raise MachineError(f"RunPod has {len(pods)} pods that are called {self._name}: nobody knows which is ours")
        return PodMachine(self._client, pods[0].id) if pods else None


def read_pod(pod: Pod, pod_id: str) -> MachineReading:
    """What RunPod's answer says of a pod. One that is about to run costs money as one that does."""
    if pod.id != pod_id:
        return MachineReading("unknown", f"RunPod was asked for pod {pod_id} and answered with another one")
    said = pod.stated_status
    if pod.cost >= _HIGHEST_RATE:
        return MachineReading("unknown", f"it is {said} and is said to cost {pod.cost:.0f} US$ an hour")
    match pod.status:
        case PodStatus.TERMINATED:
            return MachineReading("gone", said)
        case PodStatus.EXITED:
            return MachineReading("stopped", said)
        case PodStatus.ERROR if pod.cost == 0:
            return MachineReading("stopped", f"{said}, and costs nothing")
        case PodStatus.UNKNOWN:
            return MachineReading("unknown", f"RunPod says {said!r}, which we do not know")
    return MachineReading("running", said, pod.cost or None, is_locked=pod.locked, uptime=_uptime(pod))


def _uptime(pod: Pod) -> timedelta | None:
    if pod.started_at is None or pod.observed_at is None:
        return None
    return max(timedelta(0), pod.observed_at - pod.started_at)


def found_process(pid: int) -> dict[str, Any]:
    """A process of this machine, as `LocalProcess` finds its trainings again; one that does not run has no start."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        started = 0.0
    # Nobody knows where it writes.
    return {"pid": pid, "started": started, "host": socket.gethostname(), "log": "", "last_checkpoint": os.devnull}


class ProcessMachine:
    """A training that a trainer on this machine has started, or a process that was registered by hand.

    Parameters
    ----------
    training
        As the trainer has returned it; `host` is added for processes that were registered by hand.
    """

    def __init__(self, trainer: Trainer | LocalProcess, training: Mapping[str, Any]) -> None:
        self._trainer = trainer
        self._training = training

    def look(self) -> MachineReading:
        """As `Machine.look`."""
        elsewhere = self._elsewhere()
        if elsewhere is not None:
            return MachineReading("unknown", elsewhere)
        try:
            state = self._trainer.look(self._training)
        except (TrainerError, KeyError, psutil.Error, OSError) as error:
            return MachineReading("unknown", f"the training cannot be looked at: {error}")
        if not state.is_running:
            return MachineReading("stopped", state.failure or "it has ended")
        return MachineReading("running", state.progress or "it runs", uptime=_running_for(self._training))

    def stop(self) -> str:
        """As `Machine.stop`."""
        elsewhere = self._elsewhere()
        if elsewhere is not None:
            raise MachineError(elsewhere)
        try:
            self._trainer.stop(self._training)
        except (TrainerError, KeyError, psutil.Error, OSError) as error:
            raise MachineError(f"it was not stopped: {error}") from error
        return "It has ended."

    def _elsewhere(self) -> str | None:
        """Why its number says nothing here; None if it does."""
        host, log = self._training.get("host"), self._training.get("log")
        if host is not None and host != socket.gethostname():
            return f"it runs on {host}, which cannot be looked into from {socket.gethostname()}"
        if log and not Path(log).is_file():
            return f"its log {log} is not on {socket.gethostname()}: it was started on another machine, or moved"
        return None


def _running_for(training: Mapping[str, Any]) -> timedelta | None:
    """By the clock of the machine on which it runs, which is this one."""
    started = training.get("started")
    return None if started is None else timedelta(seconds=max(0.0, time.time() - started))


class UnreachableMachine:
    """A machine of a kind that cannot be reached with this configuration."""

    def __init__(self, why: str) -> None:
        self._why = why

    def look(self) -> MachineReading:
        """As `Machine.look`."""
        return MachineReading("unknown", self._why)

    def stop(self) -> str:
        """As `Machine.stop`."""
        raise MachineError(self._why)
