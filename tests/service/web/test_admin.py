import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from service.contract import ContractError, Refusal
from service.engine.library import Library
from service.engine.renderer import Renderer
from service.errors import ServiceError
from service.settings import read_settings
from service.web.admin import Reload
from service.web.app import make_app
from tests.service.web.conftest import Client
from tests.service.web.test_app import problem

TOKEN = "correct-horse-battery"


def app(renderer: Renderer, load: Callable[[], Library] | None = None, *, by_all: bool = True) -> ASGIApp:
    return make_app(renderer, read_settings(admin_token=TOKEN), Reload(load or renderer.reload, by_all))


def ask(made: ASGIApp, peer: str = "127.0.0.1", **headers: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {TOKEN}", **headers}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Client(made, (peer, 4711)).post("/admin/reload", headers=named)


def test_a_reload_lists_the_served_models(renderer: Renderer) -> None:
    answer = ask(app(renderer))
    assert answer.json() == {"workers": "all", "models": ["grey@2", "grey@1", "rgb@1"], "refused": []}


def test_a_worker_that_reloads_alone_says_so(renderer: Renderer) -> None:
    assert ask(app(renderer, by_all=False)).json()["workers"] == "one"


def test_a_reload_lists_the_refused_models(renderer: Renderer) -> None:
    refusing = Library(renderer.library, [ContractError(Refusal.NOT_ONNX, "bad/1/model.onnx is not an ONNX model")])
    answer = ask(app(renderer, lambda: refusing))
    assert answer.json()["refused"] == [{"type": "not-onnx", "detail": "bad/1/model.onnx is not an ONNX model"}]


class Nobody(ThreadPoolExecutor):
    """In place of an event loop's own pool, whose threads grow with what is asked for at once."""

    def submit(self, *_: object, **__: object) -> "Future[Any]":  # type: ignore[override]
        pytest.fail("the event loop's own pool was asked")


def test_reloads_at_once_wait_for_each_other_without_a_thread(renderer: Renderer) -> None:
    two, met, threads = threading.Barrier(2), [], set()

    def reload() -> Library:
        threads.add(threading.get_ident())
        with suppress(threading.BrokenBarrierError):
            met.append(two.wait(0.1))
        return renderer.library

    async def ask_at_once() -> list[int]:
        asyncio.get_running_loop().set_default_executor(Nobody())
        transport = httpx.ASGITransport(app(renderer, reload))
        headers = {"authorization": f"Bearer {TOKEN}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
            answers = await asyncio.gather(*(client.post("/admin/reload") for _ in range(3)))
        return [answer.status_code for answer in answers]

    assert asyncio.run(ask_at_once()) == [200] * 3
    assert met == []
    assert len(threads) == 1


def test_a_reload_that_finds_nothing_says_that_nothing_has_changed(renderer: Renderer) -> None:
    def nothing() -> Library:
        raise ServiceError("no model in models")

    assert problem(ask(app(renderer, nothing)), "reload-failed")["detail"] == "Nothing has changed: no model in models."


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": ""},
        {"x_real_ip": "192.0.2.1"},
        {"via": "1.1 proxy"},
        {"host": "elsewhere.example"},
        {"x_forwarded_for": "127.0.0.1"},
        {"origin": "https://elsewhere.example"},
        {"authorization": "Bearer "},
        {"authorization": "Bearer None"},
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "192.0.2.1", "unix"])
def test_without_a_token_setting_admin_is_404_for_everybody(
    renderer: Renderer, host: str, headers: dict[str, str]
) -> None:
    made = make_app(renderer, read_settings(), Reload(lambda: pytest.fail("it was done"), by_all=True))
    problem(ask(made, host, **headers), "not-found")


def test_the_token_may_be_in_a_file_that_is_read_again(renderer: Renderer, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    made = make_app(renderer, read_settings(admin_token_file=file))
    assert ask(made, "192.0.2.1", authorization=f"Bearer {TOKEN}").status_code == 200
    file.write_text(TOKEN[::-1])
    problem(ask(made, authorization=f"Bearer {TOKEN}"), "invalid-token")
    assert ask(made, authorization=f"Bearer {TOKEN[::-1]}").status_code == 200
    file.unlink()
    problem(ask(made, authorization=f"Bearer {TOKEN[::-1]}"), "not-found")


@pytest.mark.parametrize("text", ["", "short", "x" * 2000, "é" * 16])
def test_a_file_without_a_token_is_refused_at_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "token"
    file.write_text(text)
    with pytest.raises(ServiceError):
        read_settings(admin_token_file=file)
    with pytest.raises(ServiceError):
        read_settings(admin_token_file=tmp_path / "none")


def test_the_right_token_may_reload(renderer: Renderer) -> None:
    made = app(renderer)
    assert ask(made, "192.0.2.1", authorization=f"Bearer {TOKEN}").status_code == 200


@pytest.mark.parametrize("given", ["", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN, "Bearer \u00e9"])
def test_any_other_token_is_401(renderer: Renderer, given: str) -> None:
    made = app(renderer, lambda: pytest.fail("it was done"))
    answer = Client(made).post("/admin/reload", headers=[(b"authorization", given.encode())] if given else [])
    problem(answer, "invalid-token")
    assert answer.headers["www-authenticate"] == "Bearer"
