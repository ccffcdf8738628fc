from collections.abc import Callable

import httpx
import pytest
from starlette.types import ASGIApp

from service.engine.library import Library
from service.engine.renderer import Renderer
from service.errors import ServiceError
from service.settings import read_settings
from service.web.app import make_app
from tests.service.web.conftest import Client
from tests.service.web.test_app import problem

TOKEN = "correct-horse-battery"


def app(renderer: Renderer, reload: Callable[[], Library] | None = None, **settings: str) -> ASGIApp:
    return make_app(renderer, read_settings(**settings), reload)


def ask(made: ASGIApp, host: str = "127.0.0.1", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(made, (host, 4711)).post("/admin/reload", headers=named)


def test_a_reload_tells_what_is_served(renderer: Renderer) -> None:
    answer = ask(app(renderer))
    assert answer.json() == {"models": ["grey@2", "grey@1", "rgb@1"], "refused": []}


def test_a_reload_tells_what_is_refused(renderer: Renderer) -> None:
    refusing = Library(renderer.library, ["bad/1/model.onnx is not an ONNX model"])
    answer = ask(app(renderer, lambda: refusing))
    assert answer.json()["refused"] == ["bad/1/model.onnx is not an ONNX model"]


def test_a_reload_that_finds_nothing_says_that_nothing_has_changed(renderer: Renderer) -> None:
    def nothing() -> Library:
        raise ServiceError("no model in models")

    assert problem(ask(app(renderer, nothing)), "reload-failed")["detail"] == "Nothing has changed: no model in models."


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1"])
def test_without_a_token_this_machine_may(renderer: Renderer, host: str) -> None:
    assert ask(app(renderer), host).status_code == 200


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("192.0.2.1", {}),
        ("::ffff:192.0.2.1", {}),
        ("unix", {}),
        ("127.0.0.1", {"x_forwarded_for": "192.0.2.1"}),
        ("127.0.0.1", {"forwarded": "for=192.0.2.1"}),
        ("127.0.0.1", {"origin": "https://elsewhere.example"}),
        ("192.0.2.1", {"authorization": "Bearer "}),
    ],
)
def test_without_a_token_nobody_else_may(renderer: Renderer, host: str, headers: dict[str, str]) -> None:
    document = problem(ask(app(renderer, lambda: pytest.fail("it was done")), host, **headers), "local-only")
    assert "NELUMBO_ADMIN_TOKEN" in document["detail"]


def test_with_a_token_whoever_has_it_may(renderer: Renderer) -> None:
    made = app(renderer, admin_token=TOKEN)
    assert ask(made, "192.0.2.1", authorization=f"Bearer {TOKEN}").status_code == 200


@pytest.mark.parametrize("given", ["", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \u00e9"])
def test_with_a_token_nobody_else_may(renderer: Renderer, given: str) -> None:
    made = app(renderer, lambda: pytest.fail("it was done"), admin_token=TOKEN)
    answer = Client(made).post("/admin/reload", headers=[(b"authorization", given.encode())] if given else [])
    problem(answer, "invalid-token")
    assert answer.headers["www-authenticate"] == "Bearer"
