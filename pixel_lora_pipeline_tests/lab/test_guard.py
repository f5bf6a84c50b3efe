"""What the guard lets through to what is behind it, and what not."""

import asyncio
import base64
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.lab.failed_logins import MOST_FAILED, WITHIN_SECONDS
from pixel_lora_pipeline.lab.guard import PERSON, Guard
from pixel_lora_pipeline.lab.login import Login

OWN = "http://127.0.0.1:3000"
JSON = {"content-type": "application/json"}
MUTATION = "/graphql?query=mutation%7BsetNuxSeen%7D"


class Behind:
    """Stands for Dagster: carries out whatever reaches it, and remembers that."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        everything = [
            Route("/{path:path}", self.answer, methods=["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "TRACE"]),
            WebSocketRoute("/{path:path}", self.talk),
        ]
        self.app: ASGIApp = Starlette(routes=everything)

    async def answer(self, request: Request) -> JSONResponse:
        self.reached.append(f"{request.method} {request.url.path}")
        return JSONResponse({"person": request.scope.get(PERSON)}, headers={"Referrer-Policy": "no-referrer"})

    async def talk(self, websocket: WebSocket) -> None:
        self.reached.append("websocket")
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()


@pytest.fixture
def behind() -> Behind:
    return Behind()


@pytest.fixture
def client(behind: Behind) -> Iterator[TestClient]:
    with TestClient(Guard(behind.app, port=3000, allowed_hosts=["gpu-box.local"]), base_url=OWN) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/", {}),
        ("GET", "/graphql", {"accept": "text/html"}),
        ("HEAD", "/lab/", {}),
        ("GET", "/assets", {"sec-fetch-site": "none", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}),
        ("GET", "/lab/", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}),
        ("GET", "/lab/", {"host": "localhost:3000"}),
        ("GET", "/lab/", {"host": "GPU-Box.local:3000"}),
        ("GET", "/lab/", {"host": "gpu-box.local"}),
        ("POST", "/graphql", JSON),
        ("POST", "/graphql", {"content-type": "application/json; charset=utf-8", "origin": OWN}),
        ("POST", "/lab/api/x", {**JSON, "origin": OWN, "sec-fetch-site": "same-origin"}),
    ],
)
def test_visits_and_own_orders_pass(
    client: TestClient, behind: Behind, method: str, path: str, headers: dict[str, str]
) -> None:
    assert client.request(method, path, headers=headers).status_code == 200
    assert behind.reached


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        pytest.param("GET", MUTATION, {}, id="a mutation by GET"),
        pytest.param("GET", "/graphql/?query=mutation%7Bx%7D", {}, id="a mutation by GET with a slash"),
        pytest.param("HEAD", MUTATION, {}, id="a mutation by HEAD"),
        pytest.param("POST", MUTATION, {"content-type": "text/plain"}, id="text"),
        pytest.param("POST", MUTATION, {"content-type": "application/x-www-form-urlencoded"}, id="a form"),
        pytest.param("POST", MUTATION, {"content-type": "multipart/form-data; boundary=x"}, id="an upload"),
        pytest.param("POST", "/graphql", {"content-type": "application/graphql"}, id="GraphQL as it is"),
        pytest.param("POST", "/graphql", {"content-type": "text/plain, application/json"}, id="two types in one"),
        pytest.param("POST", "/graphql", {}, id="no type"),
        pytest.param("POST", "/graphql", {**JSON, "origin": "http://evil.example"}, id="another origin"),
        pytest.param("POST", "/graphql", {**JSON, "origin": "null"}, id="a sandboxed page"),
        pytest.param("POST", "/graphql", {**JSON, "origin": "http://127.0.0.1:8000"}, id="another port"),
        pytest.param("POST", "/graphql", {**JSON, "sec-fetch-site": "cross-site"}, id="cross-site"),
        pytest.param("POST", "/graphql", {**JSON, "sec-fetch-site": "same-site"}, id="another port of this machine"),
        pytest.param("GET", "/", {"host": "evil.example"}, id="DNS rebinding"),
        pytest.param("GET", "/", {"host": "evil.example:3000"}, id="DNS rebinding with our port"),
        pytest.param("GET", "/", {"host": "127.0.0.1:3000.evil.example"}, id="a host that begins as ours"),
        pytest.param("GET", "/", {"host": "gpu-box.local:9999"}, id="another port of an allowed host"),
        pytest.param("GET", "/", {"host": ""}, id="no host"),
        pytest.param(
            "GET",
            "/lab/images/x.png",
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
            id="an image in a foreign page",
        ),
        pytest.param(
            "GET",
            "/",
            {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"},
            id="a frame in a foreign page",
        ),
        pytest.param("DELETE", "/", {}, id="another method"),
        pytest.param("OPTIONS", "/graphql", {"origin": "http://evil.example"}, id="a preflight"),
        pytest.param("TRACE", "/", {}, id="TRACE"),
    ],
)
def test_everything_else_is_refused_before_it_arrives(
    client: TestClient, behind: Behind, method: str, path: str, headers: dict[str, str]
) -> None:
    answer = client.request(method, path, headers=headers, content=b"{}" if method == "POST" else None)
    assert answer.status_code == 403
    assert behind.reached == []


@pytest.mark.parametrize(
    "headers",
    [
        [("host", "127.0.0.1:3000"), ("host", "evil.example"), ("content-type", "application/json")],
        [("host", "127.0.0.1:3000"), ("content-type", "application/json"), ("content-type", "text/plain")],
    ],
)
def test_headers_that_contradict_each_other_are_refused(behind: Behind, headers: list[tuple[str, str]]) -> None:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(Guard(behind.app, port=3000))
        async with httpx.AsyncClient(transport=transport, base_url=OWN) as client:
            return await client.post("/graphql", headers=headers, content=b"{}")

    assert asyncio.run(send()).status_code == 403
    assert behind.reached == []


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({"origin": OWN}, True),
        ({}, True),  # no browser, which always names an origin
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"host": "evil.example"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
    ],
)
def test_websockets_open_for_own_pages_only(
    client: TestClient, behind: Behind, headers: dict[str, str], is_let_in: bool
) -> None:
    if is_let_in:
        with client.websocket_connect("ws://127.0.0.1:3000/graphql", headers=headers) as socket:
            assert socket.receive_text() == "hello"
        return
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://127.0.0.1:3000/graphql", headers=headers):
        pass
    assert behind.reached == []


def test_security_headers_are_added_and_stricter_ones_stay(client: TestClient) -> None:
    for answer in (client.get("/"), client.get("/", headers={"host": "evil.example"})):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "SAMEORIGIN"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in answer.headers
    assert client.get("/").headers.get_list("referrer-policy") == ["no-referrer"]


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture
def locked(behind: Behind) -> Iterator[TestClient]:
    login = Login({"anna": "correct horse"}, token="t0ken-7")  # noqa: S106 - made up
    with TestClient(Guard(behind.app, port=3000, login=login), base_url=OWN) as client:
        yield client


@pytest.mark.parametrize(
    ("headers", "person"),
    [
        (basic("anna", "correct horse"), "anna"),
        (basic("bert", "t0ken-7"), "bert"),
        ({"authorization": "bearer t0ken-7"}, "token"),
    ],
)
def test_who_logs_in_is_known_behind(locked: TestClient, headers: dict[str, str], person: str) -> None:
    answer = locked.get("/", headers=headers)
    assert answer.json() == {"person": person}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("anna", "wrong"),
        basic("anna", ""),
        basic("bert", "correct horse"),
        {"authorization": "Basic not base64"},
        {"authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()},
        {"authorization": "Bearer "},
        {"authorization": "Bearer t0ken"},
        {"cookie": "pixel_lora_login=YW5uYQ==.99999999999.0000"},
        {"cookie": "pixel_lora_login=.."},
        {"cookie": "pixel_lora_login"},
    ],
)
def test_nobody_else_enters(locked: TestClient, behind: Behind, headers: dict[str, str]) -> None:
    answer = locked.get("/", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    with pytest.raises(WebSocketDisconnect), locked.websocket_connect("ws://127.0.0.1:3000/graphql", headers=headers):
        pass
    assert behind.reached == []


def test_the_cookie_of_a_login_opens_websockets_and_cannot_be_changed(locked: TestClient) -> None:
    cookie = locked.get("/", headers=basic("anna", "correct horse")).headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    value = cookie.split(";")[0]
    locked.cookies.clear()
    with locked.websocket_connect("ws://127.0.0.1:3000/graphql", headers={"cookie": value}) as socket:
        assert socket.receive_text() == "hello"
    name, expires, signature = value.split("=", 1)[1].rsplit(".", 2)
    for forged in (f"{name}.{int(expires) + 1}.{signature}", f"YmVydA==.{expires}.{signature}", f"{name}.{expires}."):
        locked.cookies.clear()
        assert locked.get("/", headers={"cookie": f"pixel_lora_login={forged}"}).status_code == 401


def test_who_guesses_is_not_looked_at_any_more_and_who_is_in_stays_in(locked: TestClient, behind: Behind) -> None:
    cookie = locked.get("/", headers=basic("anna", "correct horse")).headers["set-cookie"].split(";")[0]
    locked.cookies.clear()
    answers = [locked.get("/", headers=basic("anna", f"guess {n}")) for n in range(MOST_FAILED + 1)]
    assert [answer.status_code for answer in answers] == [401] * MOST_FAILED + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= WITHIN_SECONDS
    behind.reached.clear()
    assert locked.get("/", headers=basic("anna", "correct horse")).status_code == 429
    assert locked.get("/").status_code == 401, "without a password nothing is guessed"
    assert behind.reached == []
    assert locked.get("/", headers={"cookie": cookie}).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "gpu-box.local"])  # noqa: S104
def test_others_reach_it_only_with_a_login(host: str) -> None:
    with pytest.raises(ValidationError, match="PIXEL_LORA_LOGIN_PASSWORD"):
        Settings(host=host)
    assert Settings(host=host, login_token=SecretStr("x")).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_on_this_machine_alone_none_is_needed(host: str) -> None:
    assert Login.of(Settings(host=host)) is None


def test_an_empty_password_is_no_password() -> None:
    with pytest.raises(ValidationError, match="lets everybody in"):
        Settings(login_password=SecretStr(""))
