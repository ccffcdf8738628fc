import asyncio

import bentoml
import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.web.shortcut import HOT, Direct

seen: list[Scope] = []


async def remember(scope: Scope, receive: Receive, send: Send) -> None:
    seen.append(scope)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@bentoml.service(name="probe", service_class=Direct, metrics={"enabled": False})
@bentoml.asgi_app(remember, path="/")
class Probe:
    pass


@pytest.fixture(scope="module")
def app() -> ASGIApp:
    return Probe.to_asgi()


def ask(app: ASGIApp, path: str) -> int:
    """Return the status of the answer."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "http_version": "1.1"}
    asyncio.run(app(scope | {"client": None, "server": None, "scheme": "http"}, receive, send))
    status: int = sent[0]["status"]
    return status


@pytest.mark.parametrize(("path", "passes_bentoml"), [*((path, False) for path in HOT), ("/models", True)])
def test_only_hot_routes_skip_bentomls_middleware(app: ASGIApp, path: str, passes_bentoml: bool) -> None:
    seen.clear()
    assert ask(app, path) == 200
    assert ("request_id" in seen[0]) == passes_bentoml  # BentoML's context puts it there


def test_probes_stay_bentomls(app: ASGIApp) -> None:
    seen.clear()
    assert ask(app, "/schema.json") == 200
    assert not seen


@bentoml.service(name="failing", service_class=Direct, metrics={"enabled": False})
@bentoml.asgi_app(remember, path="/")
class Failing:
    @bentoml.api
    def render(self, latents: list[float]) -> list[float]:
        raise RuntimeError("the model in /srv/secret is broken")


def test_a_fault_behind_bentomls_own_route_is_told_without_its_inside(capfd: pytest.CaptureFixture[str]) -> None:
    with TestClient(Failing.to_asgi(), raise_server_exceptions=False) as client:
        answer = client.post("/render", json={"latents": [1.0]})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
