"""The mounted app: the routes, and around them what holds for every request, be it answered well or not."""

import itertools
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.engine.library import Library
from service.engine.renderer import NotReadyError, Renderer
from service.formats.c2pa import Signer
from service.settings import Settings
from service.telemetry import metrics
from service.web import cors, request_log
from service.web.auth import Access, Gate
from service.web.body import NOBODY, ClientGoneError
from service.web.headers import SAFE, SHARED, Header, completed
from service.web.problem_types import ProblemType
from service.web.problems import Problem, unavailable
from service.web.routes import routes

logger = logging.getLogger("bentoml.nelumbo.http")

_numbers = itertools.count()
_prefix = secrets.token_hex(8)  # of this process; a random id a request would give the GIL away for it

REQUEST_ID = re.compile(r"[\w.:+/=-]{1,128}", re.ASCII)
PROBES = ("/livez", "/readyz", "/healthz")  # GET is BentoML's, which sends other methods here
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})  # others would be labels without end


def make_app(
    renderer: Renderer,
    settings: Settings,
    reload: Callable[[], Library] | None = None,
    access: Access | None = None,
    signer: Signer | None = None,
    is_draining: Callable[[], bool] = lambda: False,
) -> ASGIApp:
    """Return the ASGI app to mount at ``/``.

    It is no Starlette application: BentoML would then answer by itself, in its own words, whatever has no route here.

    Args:
        renderer: draws.
        settings: of the service.
        reload: reads the models again; by default in this process only.
        access: the API keys and their limits; by default those of the settings.
        signer: signs the images.
        is_draining: whether each answer should close its connection.
    """
    access = access or Access(settings)
    table = routes(renderer, settings, reload or renderer.reload, access, signer)
    router = Router(table, redirect_slashes=False)
    inner = Gate(router, access) if access.keys else router
    templates: dict[object, str] = {route.endpoint: route.path for route in table}
    edge = Edge(
        inner, templates, log=settings.log_requests, shared=bool(settings.cors_origins), is_draining=is_draining
    )
    return cors.opened(edge, settings.cors_origins) if settings.cors_origins else edge


class Edge:
    """Request ids, metrics, logs, safe headers, and a problem document for whatever goes wrong: no exception passes."""

    def __init__(
        self,
        app: ASGIApp,
        templates: dict[object, str],
        *,
        log: bool,
        shared: bool,
        is_draining: Callable[[], bool],
    ) -> None:
        self.app = app
        self._is_draining = is_draining
        self._templates = templates
        self._log = log
        self._safe = (*SAFE[:-1], SHARED) if shared else SAFE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":  # there are no WebSockets here
            await send({"type": "websocket.close"})
            return
        started = time.monotonic()
        request_log.begin()
        scope.setdefault("app", self)  # Starlette raises what has no route only inside of an app
        answer = Answer(send, _request_id(Headers(scope=scope)), self._safe, self._is_draining)
        try:
            await self.app(scope, receive, answer.send)
        except ClientGoneError:
            await NOBODY(scope, receive, answer.send)
        except Exception as error:
            await self._fail(error, scope, receive, answer)
        self._tell(scope, answer, time.monotonic() - started)

    def _tell(self, scope: Scope, answer: "Answer", seconds: float) -> None:
        route = self._templates.get(scope.get("endpoint"), "none")
        method = scope["method"] if scope["method"] in METHODS else "other"
        metrics.REQUESTS.labels(route, method, answer.status).inc()
        if answer.status < HTTPStatus.BAD_REQUEST:  # a refusal is quick, and would make the others look so
            metrics.REQUEST_SECONDS.labels(route).observe(seconds)
        if self._log:
            request_log.write(answer.request_id, method, route, answer.status, seconds)

    async def _fail(self, error: Exception, scope: Scope, receive: Receive, answer: "Answer") -> None:
        problem = _problem(error, scope["path"])
        if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("Request %s failed", answer.request_id, exc_info=error)
        if not answer.status:
            await problem.response()(scope, receive, answer.send)


class Answer:
    """One answer on its way: gives it the request's id and safe headers, and remembers its status (0: not begun)."""

    def __init__(self, send: Send, request_id: str, safe: Sequence[Header], is_draining: Callable[[], bool]) -> None:
        self._send = send
        self._is_draining = is_draining
        self._safe = safe
        self.request_id = request_id
        self.status = 0

    async def send(self, message: Message) -> None:
        """Pass a message on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = completed(message["headers"], self._safe)
            message["headers"].append((b"x-request-id", self.request_id.encode()))
            if self._is_draining():  # so that this client's next request goes to another server
                message["headers"].append((b"connection", b"close"))
        await self._send(message)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else f"{_prefix}-{next(_numbers):x}"


def _problem(error: Exception, path: str) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, NotReadyError):
        return unavailable(ProblemType.NOT_READY, f"Not ready: {error}; ask again later.")
    if isinstance(error, HTTPException):  # Starlette's: no such route, or no such method on it
        return _unrouted(error, path)
    return Problem(
        ProblemType.INTERNAL_ERROR, "The server has a fault; report it with the X-Request-Id of this answer."
    )


def _unrouted(error: HTTPException, path: str) -> Problem:
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED or path in PROBES:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "GET, HEAD").split(", ")))
        return Problem(ProblemType.METHOD_NOT_ALLOWED, f"Use {allowed} here.", headers={"Allow": allowed})
    return Problem(ProblemType.NOT_FOUND, "Nothing has this path; draw with POST /generate, or see GET /docs.")
