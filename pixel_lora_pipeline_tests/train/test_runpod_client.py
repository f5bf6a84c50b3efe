"""The client of RunPod's API follows its rules, survives its faults, and never shows the key."""

import logging
import pickle
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from pydantic import SecretStr

from pixel_lora_pipeline.train.runpod import (
    PodStatus,
    RunPod,
    RunPodConflictError,
    RunPodError,
    RunPodNotFoundError,
    RunPodRefusedError,
    RunPodRejectedError,
    RunPodUnavailableError,
)
from pixel_lora_pipeline_tests.train.runpod_server import GPU, KEY, TEMPLATE, RunPodServer


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def runpod(runpod_server: RunPodServer, waits: list[float]) -> Iterator[RunPod]:
    client = RunPod(SecretStr(KEY), runpod_server.url, timeout=0.3, sleep=waits.append)
    yield client
    client.close()


def create(runpod: RunPod, name: str = "pixel-lora-a") -> str:
    return runpod.create_pod(name, TEMPLATE, GPU, "secure", {"A": "1"}).id


def test_a_pod_is_made_runs_and_is_stopped(runpod: RunPod, runpod_server: RunPodServer) -> None:
    pod_id = create(runpod)
    (request,) = [each for each in runpod_server.requests if each.method == "POST"]
    assert request.body == {
        "name": "pixel-lora-a",
        "templateId": TEMPLATE,
        "gpu": {"id": GPU, "count": 1},
        "cloud": "SECURE",
        "env": {"A": "1"},
    }
    assert [runpod.pod(pod_id).status for _ in range(2)] == [PodStatus.STARTING, PodStatus.RUNNING]
    pod = runpod.pod(pod_id)
    assert (pod.cost, pod.is_stopped, pod.gpu and pod.gpu.id) == (Decimal("0.44"), False, GPU)
    runpod_server.pods[pod_id].looks_to_exit = 1
    assert not runpod.stop(pod_id).is_stopped, "a stop that is only asked for counted as done"
    assert runpod.pod(pod_id).is_stopped
    assert runpod.pod(pod_id).cost == 0
    with pytest.raises(RunPodConflictError, match="cannot stop a pod that is EXITED"):
        runpod.stop(pod_id)
    assert runpod.start(pod_id).status is PodStatus.STARTING
    assert runpod_server.destructive == []


def test_every_page_of_the_list_is_read(runpod: RunPod, runpod_server: RunPodServer) -> None:
    for number in range(5):
        runpod_server.add_pod(f"pod{number}", f"name{number % 2}")
    runpod_server.page_size = 2
    assert [pod.id for pod in runpod.pods()] == ["pod0", "pod1", "pod2", "pod3", "pod4"]
    assert [pod.id for pod in runpod.pods_named("name0")] == ["pod0", "pod2", "pod4"]


def test_a_status_that_nobody_knows_is_no_stop(runpod: RunPod, runpod_server: RunPodServer) -> None:
    runpod_server.add_pod("odd", status="HIBERNATING")
    pod = runpod.pod("odd")
    assert (pod.status, pod.stated_status, pod.is_stopped) == (PodStatus.UNKNOWN, "HIBERNATING", False)


def test_bills_and_prices_are_exact(runpod: RunPod, runpod_server: RunPodServer) -> None:
    start = datetime(2026, 6, 1, tzinfo=UTC)
    runpod_server.add_bill("pod1", start, 1, 0.1, 0.02)
    runpod_server.add_bill("pod1", start + timedelta(hours=1), 1, 0.2)
    runpod_server.add_bill("pod2", start, 1, 5.0)
    records = runpod.pod_billing(start, start + timedelta(hours=2), pod_id="pod1")
    assert [(record.start_time.hour, record.gpu_amount) for record in records] == [
        (0, Decimal("0.1")),
        (1, Decimal("0.2")),
    ]
    assert [gpu.price.community for gpu in runpod.gpu_types()] == [Decimal("0.31"), Decimal("0.16")]
    assert runpod.template(TEMPLATE).image == "me/sd-scripts"


def test_times_are_by_the_providers_clock(runpod: RunPod, runpod_server: RunPodServer) -> None:
    runpod_server.clock_skew = timedelta(hours=3)
    runpod_server.add_pod("pod1")
    pod = runpod.pod("pod1")
    assert pod.observed_at is not None and pod.started_at is not None
    assert abs(pod.observed_at - pod.started_at) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, RunPodRefusedError),
        (403, RunPodRefusedError),
        (404, RunPodNotFoundError),
        (409, RunPodConflictError),
        (400, RunPodRejectedError),
        (402, RunPodRejectedError),
        (422, RunPodRejectedError),
        (302, RunPodUnavailableError),
        (418, RunPodUnavailableError),
    ],
)
def test_a_no_is_not_asked_again(
    runpod: RunPod, runpod_server: RunPodServer, status: int, error: type[RunPodError]
) -> None:
    runpod_server.fail(status, times=None)
    with pytest.raises(error):
        runpod.pod("pod1")
    assert len(runpod_server.requests) == (1 if error is not RunPodUnavailableError else 4)


def test_a_busy_server_is_asked_again_when_it_says(
    runpod: RunPod, runpod_server: RunPodServer, waits: list[float]
) -> None:
    runpod_server.add_pod("pod1")
    runpod_server.fail(429, retry_after=12)
    runpod_server.fail(500)
    assert runpod.pod("pod1").id == "pod1"
    assert waits == [12, 2]
    runpod_server.fail(429, retry_after=3600)
    with pytest.raises(RunPodUnavailableError, match="429"):
        runpod.pod("pod1")
    assert waits == [12, 2], "somebody was made to wait for an hour"


@pytest.mark.parametrize("fault", ["silent", "lose", "garble", "truncate"])
def test_reading_survives_one_fault_and_tells_of_many(
    runpod: RunPod, runpod_server: RunPodServer, waits: list[float], fault: str
) -> None:
    runpod_server.add_pod("pod1")
    if fault != "garble":  # what came is not asked for again: it would only come again
        getattr(runpod_server, fault)()
        assert runpod.pod("pod1").id == "pod1"
    getattr(runpod_server, fault)(times=None)
    with pytest.raises(RunPodUnavailableError, match="look at pod pod1"):
        runpod.pod("pod1")
    assert len(waits) <= 4


def test_an_answer_that_drips_does_not_hold_anybody_up(runpod: RunPod, runpod_server: RunPodServer) -> None:
    runpod_server.add_pod("pod1")
    runpod_server.slow(20, times=None)
    with pytest.raises(RunPodUnavailableError, match=r"took longer than 0\.3 s"):
        runpod.pod("pod1")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"pods": 1}', b'{"id": "pod1"}', b"\xff\xfe", b"[" * 100_000, b'{"cost": NaN}']
)
def test_an_answer_without_sense_names_the_call(runpod: RunPod, runpod_server: RunPodServer, body: bytes) -> None:
    runpod_server.garble(body)
    with pytest.raises(RunPodUnavailableError, match="look at pod pod1: RunPod answered what we do not understand"):
        runpod.pod("pod1")


def test_a_create_without_an_answer_is_not_repeated(runpod: RunPod, runpod_server: RunPodServer) -> None:
    for fault in (runpod_server.lose, runpod_server.silent, runpod_server.truncate, runpod_server.garble):
        runpod_server.pods.clear()
        runpod_server.requests.clear()
        fault(on="POST")
        with pytest.raises(RunPodUnavailableError, match="create pod pixel-lora-a"):
            create(runpod)
        assert runpod_server.lines == ["POST /v2/pods"]
        assert len(runpod.pods_named("pixel-lora-a")) == (fault != runpod_server.silent)


def test_a_create_that_was_put_off_is_repeated(runpod: RunPod, runpod_server: RunPodServer, waits: list[float]) -> None:
    runpod_server.fail(429, on="POST", times=2, retry_after=5)
    create(runpod)
    assert (len(runpod_server.pods), waits) == (1, [5, 5])


def test_what_cannot_be_had_is_told_in_the_providers_words(runpod: RunPod, runpod_server: RunPodServer) -> None:
    runpod_server.capacity = False
    with pytest.raises(RunPodRejectedError, match="no longer any instances available"):
        create(runpod)
    runpod_server.balance = False
    with pytest.raises(RunPodRejectedError, match="insufficient balance"):
        create(runpod)
    with pytest.raises(RunPodNotFoundError, match="template not found"):
        runpod.create_pod("a", "nowhere", GPU, "secure", {})


@pytest.mark.parametrize("pod_id", ["", "..", "../pods", "a/b", "a?b", "a b", "a\nb"])
def test_no_identifier_leads_elsewhere(runpod: RunPod, runpod_server: RunPodServer, pod_id: str) -> None:
    with pytest.raises(RunPodNotFoundError):
        runpod.stop(pod_id)
    assert runpod_server.requests == []


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "schlüssel"])
def test_a_key_that_no_header_can_hold_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(RunPodRefusedError) as caught:
        RunPod(SecretStr(key))
    assert not key or key not in str(caught.value)


def test_the_key_is_seen_nowhere(runpod: RunPod, runpod_server: RunPodServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    runpod_server.add_pod("pod1")
    told = [repr(runpod), repr(runpod.pod("pod1"))]
    for fault in (
        lambda: runpod_server.fail(401, detail=f"bad token Bearer {KEY}"),
        lambda: runpod_server.fail(500, times=4, detail=KEY),
        lambda: runpod_server.garble(KEY.encode()),
        lambda: runpod_server.garble(b'{"id": "%s", "name": "%s"}' % (KEY.encode(), KEY.encode())),
        lambda: runpod_server.silent(times=4),
        lambda: runpod_server.truncate(times=4),
    ):
        fault()
        with pytest.raises(RunPodError) as caught:
            runpod.pod("pod1")
        error: BaseException | None = caught.value
        told.append(pickle.dumps(error).decode("latin-1"))
        while error is not None:
            ours = error.__traceback__ and error.__traceback__.tb_next  # without this test, which knows the key
            told += traceback.TracebackException(type(error), error, ours, capture_locals=True).format()
            error = error.__cause__ or error.__context__
    told += [request.raw for request in runpod_server.requests] + [caplog.text]
    told += [repr(vars(record)) for record in caplog.records]
    assert caplog.records, "nothing was logged, so nothing was looked at"
    assert [text for text in told if KEY in text] == []
