"""The routes that BentoML answers, behind ours: its requests are checked here, and its errors become problems.

Every request enters our app first. Those that it hands to BentoML are marked, since under BentoML's own command our app
stands between BentoML's server and BentoML's routes, and meets them again.
"""

import json
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.engine.renderer import Renderer
from service.web.auth import Access
from service.web.body import parse_json, read_body
from service.web.problem_types import ProblemType
from service.web.problems import FieldError, Problem, invalid, unavailable

CHECKED = "nelumbo.checked"  # in the scope of a request that our app has handed to BentoML


def bento_routes(app: ASGIApp, renderer: Renderer, access: Access, max_body: int) -> list[Route]:
    """Return BentoML's routes that clients may use; nothing else of its app can be reached."""
    return [
        Route("/render", RenderRoute(app, renderer, access, max_body), methods=["POST"]),
        Route("/schema.json", BentoRoute(app), methods=["GET"]),
    ]


class BentoRoute:
    """A route of BentoML's, as an ASGI app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let BentoML answer; raises Problem for an answer of its that is an error."""
        answer = _Answer(send)
        # A copy: BentoML's router writes into it which endpoint it chose.
        await self._app({**scope, CHECKED: True}, receive, answer.send)
        if answer.error is not None:
            raise answer.error


class RenderRoute(BentoRoute):
    """``POST /render``, held to what our own routes are held to.

    That is a bounded body, its key's rate limit, and strict JSON: BentoML would read forms, files and pickles, too.
    """

    def __init__(self, app: ASGIApp, renderer: Renderer, access: Access, max_body: int) -> None:
        super().__init__(app)
        self._renderer = renderer
        self._access = access
        self._max_body = max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, check it, and let BentoML answer; raises Problem and NotReadyError."""
        _ = self._renderer.library
        headers = Headers(scope=scope)
        body = await read_body(headers, receive, self._max_body)
        await self._access.spend_on_arrays(scope, parse_json(headers, body))
        await super().__call__(scope, _replay(body, receive), send)


class _Answer:
    """Passes BentoML's answer on, but keeps an error of its to itself, as a Problem."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._status = HTTPStatus.OK
        self._body = b""
        self.error: Problem | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
        if self._status < HTTPStatus.BAD_REQUEST:
            await self._send(message)
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                self.error = _problem(self._status, self._body)


def _problem(status: int, body: bytes) -> Problem:
    """Return BentoML's error, ``{"error": …, "detail": [{"loc": […], "msg": …}]}``, as one of ours."""
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return unavailable(ProblemType.QUEUE_FULL, "The queue is full; ask again in a second, or for fewer images.")
    if status == HTTPStatus.GATEWAY_TIMEOUT:
        return Problem(ProblemType.DEADLINE_PASSED, "The images were not drawn in time.")
    if status != HTTPStatus.BAD_REQUEST:
        return Problem(ProblemType.INTERNAL_ERROR, f"BentoML answered {status}; the log says why.")
    try:
        found = json.loads(body)["detail"]
        errors = [FieldError(field=".".join(map(str, one["loc"])), message=one["msg"]) for one in found]
        return invalid(ProblemType.INVALID_ARRAY, errors)
    except (ValueError, TypeError, LookupError):
        return Problem(ProblemType.INVALID_ARRAY, "The latents are no array of numbers, (N, Z).")


def _replay(body: bytes, receive: Receive) -> Callable[[], Awaitable[Message]]:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return messages.pop() if messages else await receive()

    return again
