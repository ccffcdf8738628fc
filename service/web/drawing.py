"""What the routes have in common that draw what a JSON body asks for."""

from abc import ABC, abstractmethod
from typing import Any, Generic, TypeVar

from starlette.datastructures import Headers
from starlette.requests import Request

from service.engine.renderer import Renderer
from service.web.body import parse_json, read_body, run_by_size
from service.web.responder import Respond

Asked = TypeVar("Asked")


class DrawingRoute(ABC, Generic[Asked]):
    """A handler that draws what a JSON body asks for; ``Asked`` is what is known of it once the body is read.

    Args:
        renderer: whose models are asked for.
        respond: draws and answers.
        max_body: most bytes in a body.
        max_images: most images in one request.
    """

    def __init__(self, renderer: Renderer, respond: Respond, *, max_body: int, max_images: int) -> None:
        self._renderer = renderer
        self._respond = respond
        self._max_body = max_body
        self._max_images = max_images

    @abstractmethod
    def _validate(self, data: Any, headers: Headers) -> Asked:
        """Return what a parsed body asks for; raises Problem. Runs on a thread if the body is large."""

    async def _read(self, request: Request) -> Asked:
        """Read a request's body; raises Problem, and ClientGoneError when the client disconnects before its end."""
        body = await read_body(request.headers, request.receive, self._max_body)
        return await run_by_size(len(body), self._parse, request.headers, body)

    def _parse(self, headers: Headers, body: bytes) -> Asked:
        return self._validate(parse_json(headers, body), headers)
