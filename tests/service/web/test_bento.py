"""BentoML's routes behind our app, with services that only these tests have."""

from collections.abc import Iterator
from typing import Any

import bentoml
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app
from service.web.bento import CHECKED, bento_route


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    document: dict[str, Any] = answer.json()
    return document


@bentoml.service(name="probe", metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Probe:
    @bentoml.api
    def render(self, latents: list[float]) -> list[float]:
        if not latents:
            raise RuntimeError("the model in /srv/secret is broken")
        return latents

    @bentoml.api
    def echo(self, latents: list[float]) -> list[float]:
        return latents


@pytest.fixture(scope="module")
def behind(renderer: Renderer) -> Iterator[TestClient]:
    app = make_app(renderer, read_settings(max_body=4096), bentoml=Probe.to_asgi())
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def test_bentoml_describes_itself_to_its_clients_with_our_headers(behind: TestClient) -> None:
    answer = behind.get("/schema.json")
    assert {route["route"] for route in answer.json()["routes"]} == {"/render", "/echo"}
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "x-request-id" in answer.headers


def test_bentoml_is_asked_once_how_it_describes_itself() -> None:
    asked = []

    async def bentoml(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(scope["method"])
        await send({"type": "http.response.start", "status": 200 if len(asked) > 1 else 503, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    client = TestClient(Starlette(routes=[bento_route(bentoml)]))
    assert [client.get("/schema.json").status_code for _ in range(4)] == [503, 200, 200, 200]
    assert client.head("/schema.json").status_code == 200
    assert client.get("/schema.json").content == b"{}"
    assert asked == ["GET", "GET", "HEAD"]


def test_its_own_handlers_are_never_reached(behind: TestClient) -> None:
    refused = behind.post("/render", json={"latents": []})  # for which the service below would raise
    assert problem(refused, 422)["type"] == "/problems/invalid-field"
    assert "secret" not in refused.text


@pytest.mark.parametrize("path", ["/docs.json", "/static_content/main.css", "/echo", "/schema.json%0A", "/render%0A"])
def test_no_other_route_of_bentoml_can_be_reached(behind: TestClient, path: str) -> None:
    problem(behind.post(path, json={"latents": [1.0]}), 404)


def test_our_routes_do_not_pass_bentoml(renderer: Renderer) -> None:
    seen: list[Scope] = []

    async def remember(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app: ASGIApp = make_app(renderer, read_settings(), bentoml=remember)
    client = TestClient(app)
    for path in ("/readyz", "/models", "/images/grey@2/1.png", "/render", "/nothing"):
        client.get(path)
    assert not seen
    client.get("/schema.json")
    assert [scope[CHECKED] for scope in seen] == [True]
