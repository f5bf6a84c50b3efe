"""What RunPod answers, checked and reduced to what we use.

A pod's environment variables are not among it: people keep secrets there, and what is not read cannot be told.

References
----------
OpenAPI description of REST v2: https://docs.runpod.io/api-reference-v2/openapi.json
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

_Dollars = Annotated[Decimal, Field(ge=0)]


class PodStatus(StrEnum):
    """Where a pod stands in its life."""

    PROVISIONING = "PROVISIONING"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    EXITED = "EXITED"
    ERROR = "ERROR"
    TERMINATED = "TERMINATED"
    UNKNOWN = "UNKNOWN"
    """RunPod said something that we do not know."""


class _Answer(BaseModel):
    # RunPod adds fields without notice.
    model_config = ConfigDict(frozen=True, extra="ignore", alias_generator=to_camel, hide_input_in_errors=True)


class PodGpu(_Answer):
    """What a pod computes with."""

    id: str
    count: int = Field(default=1, ge=1)


class PodRuntime(_Answer):
    """How a running pod does; `uptime` counts the seconds since its container has started."""

    uptime: int | None = None


class Pod(_Answer):
    """A pod as it stood when RunPod was asked.

    Attributes
    ----------
    stated_status
        In RunPod's own word.
    cost
        US dollars an hour, now; 0 for a pod that has stopped.
    locked
        Whether it may not be stopped.
    actions
        What may be done with it now.
    created_at, started_at, observed_at
        By RunPod's clock, all three, so that their differences are true where ours is not. `observed_at` is when
        RunPod answered; None if it did not say.
    """

    id: str = Field(min_length=1)
    name: str
    stated_status: str = Field(validation_alias="status")
    cost: _Dollars
    locked: bool
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    observed_at: datetime | None = None
    actions: tuple[str, ...] = ()
    gpu: PodGpu | None = None
    cloud: str | None = None
    runtime: PodRuntime | None = None

    @property
    def status(self) -> PodStatus:
        """Its status; `UNKNOWN` for a word that we do not know."""
        try:
            return PodStatus(self.stated_status)
        except ValueError:
            return PodStatus.UNKNOWN

    @property
    def is_stopped(self) -> bool:
        """Whether it certainly computes no longer: whatever else it is, it may cost money."""
        return self.status in (PodStatus.EXITED, PodStatus.TERMINATED)


class Page(_Answer):
    """Whether a list goes on, and where."""

    has_next_page: bool = False
    next_cursor: str | None = None


class PodList(_Answer):
    """One page of pods; the published description knows no pages, the service has them."""

    pods: tuple[Pod, ...]
    pagination: Page = Page()


class BillingRecord(_Answer):
    """What a pod has cost from `start_time` to before `end_time`, in US dollars."""

    pod_id: str
    start_time: AwareDatetime
    end_time: AwareDatetime
    total_amount: _Dollars
    gpu_amount: _Dollars
    cpu_amount: _Dollars
    disk_amount: _Dollars


class BillingRecords(_Answer):
    """The bill of a time."""

    records: tuple[BillingRecord, ...]


class GpuPrice(_Answer):
    """List price of one GPU in US dollars an hour; None where it is not offered."""

    secure: _Dollars | None = None
    community: _Dollars | None = None


class GpuType(_Answer):
    """A GPU of the catalogue; `memory` in GB, `secure` and `community` say in which cloud it is offered."""

    id: str
    name: str
    memory: int
    secure: bool
    community: bool
    price: GpuPrice


class GpuTypes(_Answer):
    """The catalogue."""

    gpus: tuple[GpuType, ...]


class Template(_Answer):
    """What pods are made from."""

    id: str
    name: str
    image: str
    serverless: bool = False
