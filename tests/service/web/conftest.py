import asyncio
from functools import partialmethod
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app


class Client:
    """Calls an ASGI app without a server; an exception that passes the app is raised here."""

    def __init__(self, app: ASGIApp, peer: tuple[str, int] = ("127.0.0.1", 4711)) -> None:
        self.app = app
        self._peer = peer

    def request(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        return asyncio.run(self._request(method, url, **arguments))

    get = partialmethod(request, "GET")
    post = partialmethod(request, "POST")

    async def _request(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, client=self._peer)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.request(method, url, **arguments)


@pytest.fixture(scope="module")
def letters_client(lettered: Renderer) -> Client:
    """A client of letters@1 and plain@1."""
    return Client(make_app(lettered, read_settings()))


@pytest.fixture(scope="module")
def client(renderer: Renderer) -> Client:
    return Client(make_app(renderer, read_settings(max_body=4096)))
