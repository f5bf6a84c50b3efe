"""A client for the few calls of RunPod's REST API v2 that trainings need.

There is no call here that terminates or deletes: what a pod's disk holds would be lost with it.
"""

import json
import re
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Final, Literal, TypeVar

import httpx2
from pydantic import BaseModel, SecretStr, ValidationError

from pixel_lora_pipeline.train.errors import printable
from pixel_lora_pipeline.train.runpod.answers import (
    BillingRecord,
    BillingRecords,
    GpuType,
    GpuTypes,
    Pod,
    PodList,
    Template,
)
from pixel_lora_pipeline.train.runpod.errors import (
    RunPodConflictError,
    RunPodError,
    RunPodNotFoundError,
    RunPodRefusedError,
    RunPodRejectedError,
    RunPodUnavailableError,
)

BASE_URL: Final = "https://api.runpod.io/v2"

_ATTEMPTS: Final = 4
_FIRST_WAIT_SECONDS: Final = 1.0
# Somebody waits for the answer. Who is told to come back later than this, may as well say so.
_LONGEST_WAIT_SECONDS: Final = 30.0
# Ten thousand pods.
_MOST_BYTES: Final = 32 * 1024**2
_MOST_PAGES: Final = 100
_IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_-]+")
_REJECTIONS: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.UNPROCESSABLE_ENTITY)

_AnswerT = TypeVar("_AnswerT", bound=BaseModel)


class RunPod:
    """RunPod's REST API v2 for one account.

    Reading and stopping are repeated a few times where RunPod is busy or does not answer. Creating and starting are
    repeated only where RunPod is busy, for nobody knows whether a call without an answer has worked. Every call raises
    the errors of `errors.py`.

    Parameters
    ----------
    api_key
        It is sent in the header of a request, and appears nowhere else.
    base_url
        Where the API is, with its version.
    timeout
        Seconds that one request may take from the first byte to the last.
    sleep
        How to wait between attempts.
    """

    def __init__(
        self,
        api_key: SecretStr,
        base_url: str = BASE_URL,
        *,
        timeout: float = 30.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not re.fullmatch(r"[!-~]+", api_key.get_secret_value()):
            # It would stand in the complaint of the HTTP library.
            remedy = "It is empty or holds other characters than keys do: set RUNPOD_API_KEY to the key alone."
            raise RunPodRefusedError("read the API key", "would not understand it", remedy)
        self._api_key = api_key
        self._timeout = timeout
        self._sleep = sleep
        self._http = httpx2.Client(base_url=base_url.rstrip("/") + "/", auth=_Bearer(api_key), timeout=timeout)

    def __repr__(self) -> str:
        return f"RunPod({str(self._http.base_url)!r})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def pods(self) -> list[Pod]:
        """All pods of the account but those of clusters, which nobody stops one by one."""
        found: list[Pod] = []
        cursor: str | None = None
        for _ in range(_MOST_PAGES):
            query = {} if cursor is None else {"cursor": cursor}
            answer = self._ask("list pods", "GET", "pods", query=query)
            page = _read(answer, PodList)
            found += [_observed(pod, answer) for pod in page.pods]
            if not page.pagination.has_next_page:
                return found
            if page.pagination.next_cursor in (None, cursor):
                break
            cursor = page.pagination.next_cursor
        raise RunPodUnavailableError("list pods", "gave a list without an end", "Try again later.")

    def pods_named(self, name: str) -> list[Pod]:
        """The pods of exactly this name; RunPod does not keep names apart."""
        return [pod for pod in self.pods() if pod.name == name]

    def pod(self, pod_id: str) -> Pod:
        """One pod."""
        answer = self._ask(f"look at pod {pod_id}", "GET", f"pods/{_identifier(pod_id)}")
        return _observed(_read(answer, Pod), answer)

    def create_pod(
        self,
        name: str,
        template_id: str,
        gpu_type_id: str,
        cloud: Literal["secure", "community"],
        env: Mapping[str, str],
    ) -> Pod:
        """Rent a pod with one GPU, made from a template; it starts by itself.

        After `RunPodUnavailableError` it may exist: look for its name before anything else.

        Parameters
        ----------
        env
            Added to the environment variables of the template.
        """
        body = {
            "name": name,
            "templateId": template_id,
            "gpu": {"id": gpu_type_id, "count": 1},
            "cloud": cloud.upper(),
            "env": dict(env),
        }
        answer = self._ask(f"create pod {name}", "POST", "pods", body=body, attempts=1)
        return _observed(_read(answer, Pod), answer)

    def start(self, pod_id: str) -> Pod:
        """Start a pod that has stopped; it goes on costing money from then on."""
        answer = self._act(pod_id, "start", attempts=1)
        return _observed(_read(answer, Pod), answer)

    def stop(self, pod_id: str) -> Pod:
        """Ask a pod to stop. It keeps its disk, and has stopped only when `pod` says so.

        One that has stopped before raises `RunPodConflictError`.
        """
        answer = self._act(pod_id, "stop", attempts=_ATTEMPTS)
        return _observed(_read(answer, Pod), answer)

    def pod_billing(
        self,
        start: datetime,
        end: datetime,
        *,
        pod_id: str | None = None,
        bucket: Literal["hour", "day", "week", "month", "year"] = "hour",
    ) -> list[BillingRecord]:
        """What pods have cost, bucket by bucket, from `start` to before `end` (both with a time zone).

        RunPod widens the time to whole buckets, and bills an hour or so late.
        """
        query = {"startTime": _rfc3339(start), "endTime": _rfc3339(end), "bucketSize": bucket}
        if pod_id is not None:
            query["podId"] = _identifier(pod_id)
        answer = self._ask("read the bill of pods", "GET", "billing/pods", query=query)
        return list(_read(answer, BillingRecords).records)

    def gpu_types(self) -> list[GpuType]:
        """The GPUs that can be rented, with their list prices."""
        return list(_read(self._ask("read the catalogue of GPUs", "GET", "catalog/gpus"), GpuTypes).gpus)

    def template(self, template_id: str) -> Template:
        """One template, of the account's own or a public one."""
        answer = self._ask(f"look at template {template_id}", "GET", f"templates/{_identifier(template_id)}")
        return _read(answer, Template)

    def _act(self, pod_id: str, action: Literal["start", "stop"], attempts: int) -> "_Answered":
        path = f"pods/{_identifier(pod_id)}/action"
        return self._ask(f"{action} pod {pod_id}", "POST", path, body={"action": action}, attempts=attempts)

    def _ask(
        self,
        call: str,
        method: Literal["GET", "POST"],
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        attempts: int = _ATTEMPTS,
    ) -> "_Answered":
        wait = _FIRST_WAIT_SECONDS
        attempt = 0
        while True:
            attempt += 1
            answer = self._send(call, method, path, query, body)
            if isinstance(answer, _Answered) and answer.status < HTTPStatus.MULTIPLE_CHOICES:
                return answer
            error = answer if isinstance(answer, RunPodError) else self._error(answer)
            asked = answer.retry_after if isinstance(answer, _Answered) else None
            pause = wait if asked is None else asked
            # Told to slow down, nothing was carried out: every call can be repeated then.
            is_slowed = isinstance(answer, _Answered) and answer.status == HTTPStatus.TOO_MANY_REQUESTS
            is_last = attempt >= (_ATTEMPTS if is_slowed else attempts)
            if not isinstance(error, RunPodUnavailableError) or is_last or pause > _LONGEST_WAIT_SECONDS:
                # Not from an except clause: the HTTP library's errors carry the request, and with it the key.
                raise error
            self._sleep(pause)
            wait *= 2

    def _send(
        self,
        call: str,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Mapping[str, Any] | None,
    ) -> "_Answered | RunPodUnavailableError":
        until = time.monotonic() + self._timeout
        content = bytearray()
        try:
            with self._http.stream(method, path, params=query, json=body) as response:
                for part in response.iter_bytes():
                    content += part
                    if len(content) > _MOST_BYTES:
                        return RunPodUnavailableError(
                            call, f"answered more than {_MOST_BYTES} bytes", "Try again later."
                        )
                    if time.monotonic() > until:
                        return self._no_answer(call, f"took longer than {self._timeout:g} s to answer")
        except httpx2.TimeoutException:
            return self._no_answer(call, f"did not answer within {self._timeout:g} s")
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            return self._no_answer(call, f"could not be asked or did not finish its answer ({type(error).__name__})")
        return _Answered(call, response.status_code, dict(response.headers), bytes(content))

    def _no_answer(self, call: str, fault: str) -> RunPodUnavailableError:
        return RunPodUnavailableError(call, fault, f"Check the network and {self._http.base_url.host}, then try again.")

    def _error(self, answer: "_Answered") -> RunPodError:
        said = printable(answer.detail.replace(self._api_key.get_secret_value(), "***"), 300)
        told = f"answered {answer.status}" + (f" ({said})" if said else "")
        match answer.status:
            case HTTPStatus.UNAUTHORIZED:
                return RunPodRefusedError(answer.call, told, "Set RUNPOD_API_KEY to a valid key of the account.")
            case HTTPStatus.FORBIDDEN:
                return RunPodRefusedError(answer.call, told, "Give the key the right to do this, in RunPod's console.")
            case HTTPStatus.NOT_FOUND:
                return RunPodNotFoundError(answer.call, told, "It is gone, or belongs to another account.")
            case HTTPStatus.CONFLICT:
                return RunPodConflictError(answer.call, told, "Look at the pod's state.")
            case status if status in _REJECTIONS:
                return RunPodRejectedError(answer.call, told, "Change what is asked for, or try another GPU or cloud.")
            case _:
                return RunPodUnavailableError(answer.call, told, "Try again later.")


class _Bearer(httpx2.Auth):
    """Puts the key into each request at the last moment, so that nobody else has to hold it as a text."""

    def __init__(self, api_key: SecretStr) -> None:
        self._api_key = api_key

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._api_key.get_secret_value()}"
        yield request


@dataclass(frozen=True)
class _Answered:
    """An answer as it came; `headers` by lower-case names. What it holds is shown to nobody unread."""

    call: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def date(self) -> datetime | None:
        """When RunPod answered, by its own clock."""
        try:
            return parsedate_to_datetime(self.headers["date"]).astimezone(UTC)
        except (KeyError, ValueError):
            return None

    @property
    def retry_after(self) -> float | None:
        """For how many seconds RunPod wants to be left alone; a date there is not looked at, RunPod sends none."""
        try:
            return max(0.0, float(self.headers["retry-after"]))
        except (KeyError, ValueError):
            return None

    @property
    def detail(self) -> str:
        """What a problem document says (RFC 9457)."""
        try:
            problem = json.loads(self.content)
            return "; ".join([str(problem["detail"]), *map(str, problem.get("errors") or ())])
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
            return ""


def _read(answer: _Answered, model: type[_AnswerT]) -> _AnswerT:
    try:
        return model.model_validate_json(answer.content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        fault = f"answered what we do not understand ({f'{place}: ' if place else ''}{printable(first['msg'])})"
    raise RunPodUnavailableError(answer.call, fault, "Try again later; if it stays so, the API has changed.")


def _observed(pod: Pod, answer: _Answered) -> Pod:
    return pod.model_copy(update={"observed_at": answer.date})


def _identifier(text: str) -> str:
    """An identifier that stays one part of a path."""
    if not _IDENTIFIER.fullmatch(text):
        raise RunPodNotFoundError(
            f"look for {printable(text)!r}", "has no such thing", "Identifiers are letters and digits."
        )
    return text


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
