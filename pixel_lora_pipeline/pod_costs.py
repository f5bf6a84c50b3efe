"""What rented pods cost, as RunPod says it: its rates while they run, its bills afterwards, its list prices."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final

from pydantic import SecretStr

from pixel_lora_pipeline.store import Store, Subject
from pixel_lora_pipeline.store.experiments import UNDER_WAY
from pixel_lora_pipeline.train.costs import Bill, Price, Usage
from pixel_lora_pipeline.train.runpod import RunPod, RunPodNotFoundError
from pixel_lora_pipeline.train.runpod.answers import BillingRecord, GpuType, Pod

PROVIDER: Final = "runpod"
_BILLED: Final = timedelta(days=35)  # the whole of the last month, whenever that is asked
_CATALOGUE: Final = "https://api.runpod.io/v2/catalog/gpus"


def machine_of_pod(pod_id: str) -> str:
    """How a pod is known among machines."""
    return f"runpod:{pod_id}"


def record_pod(store: Store, pod: Pod, subject: Subject) -> None:
    """Count a pod from its start to this reading at the rate that RunPod gives; one that has stopped adds nothing.

    Readings that come late or twice change nothing.

    Parameters
    ----------
    subject
        The experiment, or the run, that it trains.
    """
    begins, read_at = pod.started_at or pod.created_at, pod.observed_at or datetime.now(UTC)
    if pod.is_stopped or pod.cost == 0 or read_at <= begins:
        return
    store.gpu_usage.accrue(
        Usage(
            "training",
            machine_of_pod(pod.id),
            begins,
            read_at,
            "pod",
            provider=PROVIDER,
            gpu=None if pod.gpu is None else pod.gpu.id,
            cloud=None if pod.cloud is None else pod.cloud.lower(),
            usd_per_hour=pod.cost,
        ),
        subject,
    )


def reconcile_bills(store: Store, account: RunPod, begins: datetime, ends: datetime) -> int:
    """Take over the bills of our pods in a time, and return how many are new or have changed.

    Bills come about an hour late and may still grow: reading the same time again is right, and counts nothing twice.
    Other pods of the account are none of our business.
    """
    ours = store.gpu_usage.machines()
    records = account.pod_billing(begins, ends)
    bills = [bill for bill in map(bill_of, records) if bill.machine in ours]
    return store.billing_records.reconcile(bills, datetime.now(UTC))


def bill_of(record: BillingRecord) -> Bill:
    """A record of RunPod's as a bill; what its total has beyond the disks is the machine's."""
    return Bill(
        PROVIDER,
        machine_of_pod(record.pod_id),
        record.start_time,
        record.end_time,
        max(record.total_amount - record.disk_amount, Decimal(0)),
        record.disk_amount,
    )


@dataclass(frozen=True)
class NewsOfRunPod:
    """How many prices and bills were new or have changed, and how many pods were read."""

    prices: int = 0
    bills: int = 0
    pods: int = 0


def update_from_runpod(store: Store, api_key: SecretStr | None, url: str, now: datetime) -> NewsOfRunPod:
    """Take over prices, the bills of a little more than a month, and the rates of our pods; without a key, nothing.

    Raises
    ------
    RunPodError
        If RunPod cannot be asked.
    """
    if api_key is None:
        return NewsOfRunPod()
    account = RunPod(api_key, url)
    try:
        prices = refresh_prices(store, account, now)
        pods = read_pods(store, account)  # first: only bills of pods that are known are taken over
        return NewsOfRunPod(prices, reconcile_bills(store, account, now - _BILLED, now), pods)
    finally:
        account.close()


def read_pods(store: Store, account: RunPod) -> int:
    """Count the pods of trainings that we have started, and those that are watched, up to now; return how many."""
    subjects: dict[str, Subject] = {}
    for machine in store.auto_stop.watched():
        if "pod_id" in machine.found_by:
            subjects[str(machine.found_by["pod_id"])] = store.gpu_usage.subject_of(machine.run_name)
    for experiment in store.experiments.all(UNDER_WAY):
        if experiment.training is not None and "pod_id" in experiment.training:
            subjects[str(experiment.training["pod_id"])] = Subject(experiment_id=experiment.experiment_id)
    found = 0
    for pod_id, subject in subjects.items():
        try:
            record_pod(store, account.pod(pod_id), subject)
            found += 1
        except RunPodNotFoundError:  # it is gone, and its bill tells the rest
            continue
    return found


def refresh_prices(store: Store, account: RunPod, now: datetime) -> int:
    """Take over the list prices of RunPod's catalogue, and return how many are new or have changed."""
    return store.gpu_prices.record(_prices(account.gpu_types(), now), now)


def _prices(gpus: Iterable[GpuType], now: datetime) -> list[Price]:
    return [
        Price(PROVIDER, gpu.name, cloud, usd, "RunPod's catalogue", _CATALOGUE, now.astimezone(UTC).date(), gpu.id)
        for gpu in gpus
        for cloud, usd in (("secure", gpu.price.secure), ("community", gpu.price.community))
        if usd is not None and usd > 0  # 0 stands for what is not offered
    ]
