"""``GET /metrics``: its text is made on a thread, one at a time, and shared by those who wait for it."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest
from starlette.requests import Request

from service.engine.renderer import Renderer
from service.telemetry import metrics
from service.web import metrics_route
from service.web.metrics_route import MetricsRoute
from tests.service.web.test_admin import Nobody

REQUEST = Request({"type": "http", "method": "GET", "path": "/metrics", "headers": [], "query_string": b""})


class Texts:
    """Counts the texts that are made; each waits until it may be done, and holds its number."""

    def __init__(self) -> None:
        self.begun = 0
        self.may_end = threading.Event()
        self.threads: set[int] = set()

    def make(self, *_: object) -> bytes:
        self.begun += 1
        number = self.begun
        self.threads.add(threading.get_ident())
        assert self.may_end.wait(60)
        return b"%d" % number


@pytest.fixture
def texts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Texts]:
    made = Texts()
    monkeypatch.setattr(metrics, "exposition", made.make)
    yield made
    made.may_end.set()


async def until_begun(texts: Texts, count: int) -> None:
    async with asyncio.timeout(60):
        while texts.begun < count:
            await asyncio.sleep(0)


def test_many_at_once_share_a_text_that_was_begun_after_they_came(renderer: Renderer, texts: Texts) -> None:
    async def ask() -> list[bytes]:
        asyncio.get_running_loop().set_default_executor(Nobody())
        route = MetricsRoute(renderer)
        first = asyncio.create_task(route.metrics(REQUEST))
        await until_begun(texts, 1)
        later = []
        for _ in range(50):
            later.append(asyncio.create_task(route.metrics(REQUEST)))
            await asyncio.sleep(0)
        assert texts.begun == 1  # one at a time
        texts.may_end.set()
        return [bytes(answer.body) for answer in await asyncio.gather(first, *later)]

    assert asyncio.run(ask()) == [b"1", *[b"2"] * 50]
    assert len(texts.threads - {threading.get_ident()}) == len(texts.threads) == 1


def test_a_client_that_leaves_takes_the_text_from_nobody(renderer: Renderer, texts: Texts) -> None:
    async def ask() -> bytes:
        route = MetricsRoute(renderer)
        leaving, staying = (asyncio.create_task(route.metrics(REQUEST)) for _ in range(2))
        await until_begun(texts, 1)
        leaving.cancel()
        texts.may_end.set()
        return bytes((await staying).body)

    assert asyncio.run(ask()) == b"1"


def test_texts_take_no_more_than_a_share_of_the_time(
    renderer: Renderer, texts: Texts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_route, "REST", 10**9)
    monkeypatch.setattr(metrics_route, "MOST_REST", 0.2)
    texts.may_end.set()

    async def ask() -> float:
        route = MetricsRoute(renderer)
        await route.metrics(REQUEST)
        started = time.monotonic()
        await route.metrics(REQUEST)
        return time.monotonic() - started

    assert asyncio.run(ask()) > 0.15
