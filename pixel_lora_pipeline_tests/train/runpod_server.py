"""RunPod's REST API v2 on this machine: real sockets, the published rules, and every fault that can be thought of.

The rules follow the OpenAPI description (https://docs.runpod.io/api-reference-v2/openapi.json): which actions a
status allows, what a create needs, problem documents (RFC 9457), half-open billing buckets.
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

KEY = "rpa_CANARY0KEY0THAT0MUST0NEVER0BE0SEEN"
TEMPLATE = "30zmvf89kd"
GPU = "NVIDIA GeForce RTX 4090"

_ACTIONS = {
    "PROVISIONING": ("stop", "terminate"),
    "STARTING": ("stop", "terminate"),
    "RUNNING": ("stop", "restart", "terminate"),
    "EXITED": ("start", "terminate"),
    "ERROR": ("start", "terminate"),
}
_TITLES = {400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found"}
_TITLES |= {405: "Method Not Allowed", 409: "Conflict", 422: "Unprocessable Entity", 429: "Too Many Requests"}
_CREATE_FIELDS = {"name", "templateId", "image", "gpu", "cpu", "cloud", "env", "args", "disk", "ports", "mounts"}
_CREATE_FIELDS |= {"registry", "dataCenterIds", "globalNetworking", "startSsh", "startJupyter"}


@dataclass
class FakePod:
    """A pod of the server; tests may set all of it.

    Attributes
    ----------
    looks_to_run, looks_to_exit
        How often it is looked at before a start or a stop has come true.
    ignores_stop
        Set to let it answer a stop with 200, and run on.
    """

    id: str
    name: str
    status: str = "RUNNING"
    rate: float = 0.44
    locked: bool = False
    cloud: str = "SECURE"
    gpu: str = GPU
    env: dict[str, str] = field(default_factory=dict)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    started_at: datetime | None = field(default_factory=lambda: datetime.now(UTC))
    looks_to_run: int = 0
    looks_to_exit: int = 0
    ignores_stop: bool = False
    stop_asked: bool = False


@dataclass
class Request:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    body: dict[str, Any] | None
    raw: str
    """Request line and headers without that of the authorization: the key must not be in it."""

    @property
    def line(self) -> str:
        """As `POST /v2/pods/abc/action stop`."""
        action = f" {self.body['action']}" if self.body and "action" in self.body else ""
        return f"{self.method} {self.path}{action}"


@dataclass
class Fault:
    """What goes wrong with the next requests that match.

    Attributes
    ----------
    kind
        `status`: answered so, and not carried out. `silent`: never answered, not carried out. `lost`: carried out, and
        never answered. `slow`: answered byte by byte over `seconds`. `garbage`: carried out, and answered with `body`.
        `truncated`: carried out, and the connection breaks off in the middle of the answer.
    times
        How often; None for always.
    """

    kind: Literal["status", "silent", "lost", "slow", "garbage", "truncated"]
    on: str
    times: int | None
    status: int = 500
    retry_after: int | None = None
    seconds: float = 0.0
    body: bytes = b""
    detail: str = "something went wrong"


@dataclass
class RunPodServer:
    """The account behind the server.

    Attributes
    ----------
    url
        Base URL for the client.
    pods
        By id.
    requests
        Every request, in order.
    clock_skew
        By how much its clock is ahead of this machine's.
    page_size
        Pods on one page of the list; None for all.
    capacity, balance
        Whether a GPU is free, and whether there is money left: else creates are answered 400 and 402.
    on_create
        Called with every new pod before it is answered.
    """

    url: str = ""
    key: str = KEY
    pods: dict[str, FakePod] = field(default_factory=dict)
    templates: dict[str, dict[str, Any]] = field(default_factory=dict)
    gpus: list[dict[str, Any]] = field(default_factory=list)
    bills: list[dict[str, Any]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    clock_skew: timedelta = timedelta()
    page_size: int | None = None
    capacity: bool = True
    balance: bool = True
    on_create: Callable[[FakePod], None] = lambda _: None
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _released: threading.Event = field(default_factory=threading.Event)

    @property
    def now(self) -> datetime:
        return datetime.now(UTC) + self.clock_skew

    @property
    def lines(self) -> list[str]:
        """The requests in short."""
        return [request.line for request in self.requests]

    @property
    def destructive(self) -> list[str]:
        """Requests that would have lost a disk: there must never be one."""
        return [line for line in self.lines if line.startswith("DELETE") or line.endswith("terminate")]

    def add_pod(self, pod_id: str = "7h9k2m4n6p", name: str = "pytorch-training", **values: Any) -> FakePod:
        """A pod that is there already."""
        pod = FakePod(pod_id, name, created_at=self.now, started_at=self.now)
        for attribute, value in values.items():
            setattr(pod, attribute, value)
        self.pods[pod_id] = pod
        return pod

    def add_bill(self, pod_id: str, start: datetime, hours: float, gpu: float, disk: float = 0.0) -> None:
        """One record of a bill."""
        times = {"startTime": _time(start), "endTime": _time(start + timedelta(hours=hours))}
        amounts = {"totalAmount": gpu + disk, "gpuAmount": gpu, "cpuAmount": 0, "diskAmount": disk}
        self.bills.append({"podId": pod_id, **times, **amounts})

    def vanish(self, pod_id: str) -> None:
        """The pod is gone, as if somebody had terminated it in the console."""
        del self.pods[pod_id]

    def fail(
        self,
        status: int,
        on: str = "",
        *,
        times: int | None = 1,
        retry_after: int | None = None,
        detail: str = "something went wrong",
    ) -> None:
        """Answer with a status; `on` is a regular expression over `Request.line`, here and below."""
        self.faults.append(Fault("status", on, times, status, retry_after, detail=detail))

    def silent(self, on: str = "", *, times: int | None = 1) -> None:
        """Do not carry out, do not answer."""
        self.faults.append(Fault("silent", on, times))

    def lose(self, on: str = "", *, times: int | None = 1) -> None:
        """Carry out, and do not answer."""
        self.faults.append(Fault("lost", on, times))

    def slow(self, seconds: float, on: str = "", *, times: int | None = 1) -> None:
        """Answer byte by byte, so that no single read takes long."""
        self.faults.append(Fault("slow", on, times, seconds=seconds))

    def garble(self, body: bytes = b"<html>Bad gateway</html>", on: str = "", *, times: int | None = 1) -> None:
        """Carry out, and answer 200 with this."""
        self.faults.append(Fault("garbage", on, times, body=body))

    def truncate(self, on: str = "", *, times: int | None = 1) -> None:
        """Carry out, and break off in the middle of the answer."""
        self.faults.append(Fault("truncated", on, times))

    def calm(self) -> None:
        """No more faults."""
        self.faults.clear()

    def _fault(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if re.search(fault.on, request.line):
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self.faults.remove(fault)
                return fault
        return None

    def _carry_out(self, request: Request) -> tuple[int, Any]:
        parts = request.path.split("/")[2:]
        match request.method, *parts:
            case "GET", "pods":
                return self._list(request.query)
            case "POST", "pods":
                return self._create(request.body or {})
            case "GET", "pods", pod_id:
                return self._get(pod_id)
            case "POST", "pods", pod_id, "action":
                return self._act(pod_id, (request.body or {}).get("action"))
            case "DELETE", "pods", pod_id:
                return (204, None) if self.pods.pop(pod_id, None) else (404, "resource not found")
            case "GET", "billing", "pods":
                return self._bill(request.query)
            case "GET", "catalog", "gpus":
                return 200, {"gpus": self.gpus}
            case "GET", "templates", template_id:
                known = self.templates.get(template_id)
                return (404, "resource not found") if known is None else (200, known)
        return 404, "resource not found"

    def _list(self, query: dict[str, str]) -> tuple[int, Any]:
        shown = [self._shown(pod) for pod in list(self.pods.values())]
        start = int(query.get("cursor", "0"))
        end = len(shown) if self.page_size is None else start + self.page_size
        more = end < len(shown)
        page = {"hasNextPage": more, "nextCursor": str(end) if more else None}
        return 200, {"pods": shown[start:end], "pagination": page}

    def _create(self, body: dict[str, Any]) -> tuple[int, Any]:
        unknown = body.keys() - _CREATE_FIELDS
        if unknown or not body.get("name") or not ("templateId" in body or "image" in body):
            return 422, f"Request validation failed: {sorted(unknown)}"
        if ("gpu" in body) == ("cpu" in body):
            return 400, "exactly one of gpu and cpu must be set"
        if "templateId" in body and body["templateId"] not in self.templates:
            return 404, "template not found"
        if not self.balance:
            return 402, "insufficient balance"
        if not self.capacity or body["gpu"]["id"] not in [gpu["id"] for gpu in self.gpus]:
            return 400, "There are no longer any instances available with the requested specifications."
        pod = self.add_pod(f"pod{len(self.requests):04d}", body["name"], status="PROVISIONING", started_at=None)
        pod.env, pod.cloud, pod.gpu = dict(body.get("env", {})), body.get("cloud", "SECURE"), body["gpu"]["id"]
        pod.looks_to_run = 2
        self.on_create(pod)
        return 201, self._shown(pod)

    def _get(self, pod_id: str) -> tuple[int, Any]:
        pod = self.pods.get(pod_id)
        if pod is None:
            return 404, "resource not found"
        self._pass_time(pod)
        return 200, self._shown(pod)

    def _act(self, pod_id: str, action: str | None) -> tuple[int, Any]:
        pod = self.pods.get(pod_id)
        if action not in ("start", "stop", "restart", "terminate"):
            return 422, "Request validation failed."
        if pod is None:
            return 404, "resource not found"
        if action not in _ACTIONS.get(pod.status, ()) or (pod.locked and action != "start"):
            return 409, f"cannot {action} a pod that is {'locked' if pod.locked else pod.status}"
        match action:
            case "terminate":
                del self.pods[pod_id]
                return 204, None
            case "start" | "restart":
                pod.status, pod.started_at, pod.looks_to_run, pod.stop_asked = "STARTING", self.now, 1, False
            case "stop" if not pod.ignores_stop:
                pod.stop_asked = True
                if pod.looks_to_exit == 0:
                    pod.status = "EXITED"
        return 200, self._shown(pod)

    def _pass_time(self, pod: FakePod) -> None:
        if pod.stop_asked and pod.status != "EXITED":
            pod.looks_to_exit -= 1
            if pod.looks_to_exit <= 0:
                pod.status = "EXITED"
        elif pod.status in ("PROVISIONING", "STARTING"):
            pod.looks_to_run -= 1
            pod.status = "STARTING" if pod.looks_to_run > 0 else "RUNNING"
            pod.started_at = pod.started_at or self.now

    def _shown(self, pod: FakePod) -> dict[str, Any]:
        runs = pod.status == "RUNNING"
        uptime = int((self.now - pod.started_at).total_seconds()) if pod.started_at else 0
        return {
            "id": pod.id,
            "name": pod.name,
            "image": "runpod/pytorch:1.0.2-cu1281-torch280-ubuntu2404",
            "args": "",
            "disk": 50,
            "ports": ["22/tcp"],
            "env": pod.env,
            "registry": None,
            "status": pod.status,
            "actions": list(_ACTIONS.get(pod.status, ())),
            "mounts": {"persistent": {"size": 20, "path": "/workspace"}},
            "gpu": {"id": pod.gpu, "count": 1, "vcpuCount": 16, "memory": 64},
            "cloud": pod.cloud,
            "dataCenterId": "US-KS-2",
            "cudaVersion": "12.8",
            "ssh": {"proxy": None, "direct": None},
            "template": None,
            "cost": pod.rate if pod.status not in ("EXITED", "TERMINATED") else 0.0,
            "locked": pod.locked,
            "globalNetworking": {"enabled": False},
            "runtime": {"uptime": uptime} if runs else None,
            "createdAt": _time(pod.created_at),
            "startedAt": _time(pod.started_at) if pod.started_at else None,
        }

    def _bill(self, query: dict[str, str]) -> tuple[int, Any]:
        start = query.get("startTime", _time(self.now - timedelta(days=30)))
        end = query.get("endTime", _time(self.now))
        records = [
            bill
            for bill in self.bills
            if bill["startTime"] < end
            and bill["endTime"] > start
            and query.get("podId", bill["podId"]) == bill["podId"]
        ]
        totals = {name: sum(bill[name] for bill in records) for name in ("totalAmount", "gpuAmount", "diskAmount")}
        echo = {"startTime": start, "endTime": end, "bucketSize": query.get("bucketSize", "day")}
        metadata = {"query": echo, "recordCount": len(records), "totals": {**totals, "cpuAmount": 0}}
        return 200, {"records": records, "metadata": metadata}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet: a second one waits 40 ms for the first to be acknowledged
    account: RunPodServer

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:
        account, request = self.account, self._request()
        with account._lock:
            account.requests.append(request)
            fault = account._fault(request)
            if fault is not None and fault.kind in ("status", "silent"):
                status, content = fault.status, fault.detail
            elif self.headers.get("Authorization") != f"Bearer {account.key}":
                status, content = 401, "missing or invalid bearer token"
            else:
                status, content = account._carry_out(request)
        if fault is not None and fault.kind in ("silent", "lost"):
            account._released.wait(30)
            self.close_connection = True
        else:
            self._answer(status, content, fault)

    def _request(self) -> Request:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        told = "\n".join(f"{name}: {value}" for name, value in self.headers.items() if name.lower() != "authorization")
        return Request(
            self.command,
            unquote(url.path),
            {name: values[0] for name, values in parse_qs(url.query).items()},
            json.loads(body) if body else None,
            f"{self.requestline}\n{told}\n{body.decode()}",
        )

    def _answer(self, status: int, content: Any, fault: Fault | None) -> None:
        is_problem = status >= 400
        if is_problem:
            content = {"title": _TITLES.get(status, "Error"), "status": status, "detail": content}
        body = b"" if content is None else json.dumps(content).encode()
        if fault is not None and fault.kind == "garbage":
            status, body = 200, fault.body
        self.send_response_only(status)
        self.send_header("Date", format_datetime(self.account.now.replace(microsecond=0), usegmt=True))
        self.send_header("Content-Type", "application/problem+json" if is_problem else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("RateLimit", '"minute";r=59;t=60')
        if fault is not None and fault.retry_after is not None:
            self.send_header("Retry-After", str(fault.retry_after))
        self.end_headers()
        if fault is not None and fault.kind == "truncated":
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        elif fault is not None and fault.kind == "slow":
            self._write_slowly(body, fault.seconds)
        else:
            self.wfile.write(body)

    def _write_slowly(self, body: bytes, seconds: float) -> None:
        for at in range(len(body)):
            if self.account._released.wait(seconds / len(body)):
                return
            try:
                self.wfile.write(body[at : at + 1])
                self.wfile.flush()
            except OSError:  # the client has given up
                self.close_connection = True
                return

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def runpod_account() -> Iterator[RunPodServer]:
    """A running server with one template and two GPUs in its catalogue, on a port of its own."""
    account = RunPodServer()
    account.templates[TEMPLATE] = {"id": TEMPLATE, "name": "sd-scripts", "image": "me/sd-scripts", "serverless": False}
    account.gpus = [_gpu(GPU, "RTX 4090", 24, 0.44, 0.31), _gpu("NVIDIA RTX A5000", "RTX A5000", 24, 0.26, 0.16)]
    handler = type("Handler", (_Handler,), {"account": account})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    account.url = f"http://127.0.0.1:{server.server_port}/v2"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield account
    finally:
        account._released.set()
        server.shutdown()
        server.server_close()


def _gpu(gpu_id: str, name: str, memory: int, secure: float, community: float) -> dict[str, Any]:
    return {
        "id": gpu_id,
        "name": name,
        "pool": "ADA_24",
        "manufacturer": "NVIDIA",
        "memory": memory,
        "secure": True,
        "community": True,
        "price": {"secure": secure, "community": community, "serverless": 1.1},
        "maxCount": {"secure": 8, "community": 4},
    }


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
