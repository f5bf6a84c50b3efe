"""What stands between the web and the two applications behind it: Dagster's UI and the lab.

Dagster's webserver runs mutations that arrive by GET, from any origin and under any host name, so that every page
that somebody visits could start trainings on their machine. Here a request must have come to a name of ours, from a
page of ours, and what changes something must be a POST of JSON, which no foreign page can send unasked (OWASP
Cross-Site Request Forgery Prevention Cheat Sheet; Fetch Metadata Request Headers, W3C).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pixel_lora_pipeline.lab.failed_logins import FailedLogins
from pixel_lora_pipeline.lab.login import Known, Login

PERSON: Final = "pixel_lora.person"
"""Key of the scope under which the name of the login stands; absent where none is asked for."""

_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_METHODS: Final = frozenset({"GET", "HEAD", "POST"})
_SAME_SITE: Final = frozenset({"same-origin", "none"})  # `none`: the person typed the address
_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
)
_POLICY_VIOLATION: Final = 1008  # close code of a websocket (RFC 6455, section 7.4.1)


class Guard:
    """An ASGI application that lets through to another what may pass, and answers 403, 401 or 429 to the rest.

    Parameters
    ----------
    port
        On which it is served.
    allowed_hosts
        Names, with or without a port, under which it may be reached beside those of this machine itself.
    login
        Who may enter; None lets everybody in who can reach the port.
    """

    def __init__(
        self, app: ASGIApp, *, port: int, allowed_hosts: Iterable[str] = (), login: Login | None = None
    ) -> None:
        self._app = app
        self._login = login
        self._failed = FailedLogins()
        named = [name.lower() for name in allowed_hosts]
        self._hosts = {f"{name}:{port}" for name in (*_LOOPBACK_NAMES, *named)} | set(named)
        if port == 80:  # browsers leave the usual port out
            self._hosts |= set(_LOOPBACK_NAMES)
        self._origins = {f"{scheme}://{host}" for host in self._hosts for scheme in ("http", "https")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, as ASGI defines it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = _all(scope["headers"])
        fault = self._fault(scope, headers)
        if fault is not None:
            await _refuse(scope, send, 403, fault)
            return
        sent: tuple[tuple[bytes, bytes], ...] = _HEADERS
        if self._login is not None:
            known = self._login.by_cookie(headers)
            if known is None:
                known = await self._logged_in(self._login, scope, headers, send)
            if known is None:
                return
            scope[PERSON] = known.name
            sent = (*_HEADERS, *known.headers)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _with(message.get("headers", ()), sent)}
            await send(message)

        await self._app(scope, receive, send_with_headers)

    async def _logged_in(
        self, login: Login, scope: Scope, headers: Mapping[str, Sequence[str]], send: Send
    ) -> Known | None:
        """Who has sent the right password; None after an answer that refuses."""
        tries = "authorization" in headers
        address = scope["client"][0] if scope.get("client") else ""
        if tries:
            seconds = self._failed.seconds_to_wait(address)
            if seconds:
                reason = f"Too many wrong passwords came from your address: try again in {seconds} s."
                await _refuse(scope, send, 429, reason, ((b"retry-after", str(seconds).encode()),))
                return None
            known = login.by_password(headers)
            if known is not None:
                return known
            self._failed.add(address)
        await _refuse(scope, send, 401, "Log in to see this.", ((b"www-authenticate", login.challenge),))
        return None

    def _fault(self, scope: Scope, headers: Mapping[str, Sequence[str]]) -> str | None:
        """Why a request may not pass; None if it may."""
        hosts = headers.get("host", ())
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return (
                f"{', '.join(hosts) or 'A request without a host'} is no name of this server. "
                "Set PIXEL_LORA_ALLOWED_HOSTS if it should be."
            )
        if any(origin.lower() not in self._origins for origin in headers.get("origin", ())):
            return "This request comes from a page of another origin."
        foreign = any(site not in _SAME_SITE for site in headers.get("sec-fetch-site", ()))
        if scope["type"] == "websocket":
            return "This connection comes from a page of another site." if foreign else None
        method, path = scope["method"], scope["path"].rstrip("/")
        if method not in _METHODS:
            return f"{method} is no method that this server knows."
        if method == "POST":
            if foreign:
                return "This order comes from a page of another site."
            kinds = headers.get("content-type", ())
            if len(kinds) != 1 or kinds[0].split(";")[0].strip().lower() != "application/json":
                return "Orders are JSON: send them with content-type application/json."
            return None
        if foreign and not _is_visit(headers):
            return "This is embedded in a page of another site."
        if path == "/graphql" and scope["query_string"]:
            return "GraphQL is asked by POST."
        return None


def _is_visit(headers: Mapping[str, Sequence[str]]) -> bool:
    """Whether somebody follows a link to here: the page that links sees nothing of the answer."""
    return tuple(headers.get("sec-fetch-mode", ())) == ("navigate",) and tuple(headers.get("sec-fetch-dest", ())) == (
        "document",
    )


def _all(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


def _with(headers: Iterable[tuple[bytes, bytes]], added: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers and those added that are not among them: the applications behind may be stricter."""
    present = list(headers)
    names = {name.lower() for name, _ in present} - {b"set-cookie"}
    return present + [(name, value) for name, value in added if name not in names]


async def _refuse(
    scope: Scope, send: Send, status: int, reason: str, headers: tuple[tuple[bytes, bytes], ...] = ()
) -> None:
    if scope["type"] == "websocket":
        # Before it is accepted, so that the server answers the handshake with 403.
        await send({"type": "websocket.close", "code": _POLICY_VIOLATION, "reason": reason[:120]})
        return
    body = f"{reason}\n".encode()
    fixed = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": [*fixed, *_HEADERS, *headers]})
    await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})
