"""The outermost ASGI app: the routes, and the middleware around them that handles every request and every error."""

import itertools
import logging
import re
import secrets
import time
from collections.abc import Sequence
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.routing import Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.engine.library import NotReadyError
from service.engine.renderer import Renderer
from service.formats.c2pa import Signer
from service.keys import Keys
from service.settings import Settings
from service.telemetry import metrics
from service.web import cors, problem_page, request_log
from service.web.admin import Reload
from service.web.auth import Access, KeyMiddleware
from service.web.bento import bento_route
from service.web.body import NOBODY, ClientGoneError, check_target
from service.web.headers import SAFE, SHARED, Header, completed
from service.web.metrics_port import MetricsPort
from service.web.probes import is_draining
from service.web.problem_types import ProblemType
from service.web.problems import Problem, unavailable
from service.web.rate_limit import RateLimiter
from service.web.routes import routes

logger = logging.getLogger("bentoml.nelumbo.http")

_numbers = itertools.count()
_prefix = secrets.token_hex(8)  # of this process; a random id for each request would release the GIL

REQUEST_ID = re.compile(r"[\w.:+/=-]{1,128}", re.ASCII)
METHODS = frozenset(
    {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
)  # others would make label values without limit


def make_app(
    renderer: Renderer,
    settings: Settings,
    reload: Reload | None = None,
    access: Access | None = None,
    signer: Signer | None = None,
    bentoml: ASGIApp | None = None,
    metrics_port: int | None = None,
) -> ASGIApp:
    """Return the outermost ASGI app.

    Args:
        renderer: draws the images.
        settings: of the service.
        reload: loads the models again; by default in this process, the only worker.
        access: the API keys; by default those of the settings.
        signer: signs the images.
        bentoml: BentoML's app, which answers its own routes and handles the lifespan; None: there is none.
        metrics_port: the port that answers /metrics and nothing else; None: the service's own port answers it.
    """
    access = access or make_access(settings)
    table = routes(renderer, settings, reload or Reload(renderer.reload, by_all=True), access, signer)
    if bentoml is not None:
        table.append(bento_route(bentoml))
    router = ExactRouter(table, redirect_slashes=False)
    inner: ASGIApp = KeyMiddleware(router, access) if access.keys else router
    if metrics_port is not None:
        inner = MetricsPort(inner, metrics_port)
    templates: dict[object, str] = {route.endpoint: route.path for route in table}
    edge: ASGIApp = Edge(inner, templates, log=settings.log_requests, shared=bool(settings.cors_origins))
    if settings.cors_origins:
        edge = cors.with_cors(edge, settings.cors_origins)
    return Lifespan(edge, bentoml, renderer) if bentoml is not None else edge


def make_access(settings: Settings) -> Access:
    """Return the API keys of the settings, and the images that each may have."""
    keys = Keys(settings.api_keys) if settings.api_keys else None
    limits = {name: text for name, text in (("rate", settings.rate), ("quota", settings.quota)) if text}
    if not limits:
        return Access(keys)
    uri = settings.limits_uri.get_secret_value() if settings.limits_uri else None
    deadline, queue = settings.deadline, settings.queue
    return Access(keys, RateLimiter(limits, uri=uri, failure=settings.limits_failure, deadline=deadline, queue=queue))


class ExactRouter(Router):
    """A router that refuses paths with a newline, before which the $ of Starlette's patterns also matches."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; raises HTTPException, 404 or 405."""
        if "\n" in scope["path"]:
            raise HTTPException(HTTPStatus.NOT_FOUND)
        await super().__call__(scope, receive, send)


class Lifespan:
    """Passes ASGI lifespan events to BentoML's app, and requests to ours."""

    def __init__(self, app: ASGIApp, bentoml: ASGIApp, renderer: Renderer) -> None:
        self._app = app
        self._bentoml = bentoml
        self._renderer = renderer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or pass a lifespan event on; puts the renderer into the lifespan state, for the server."""
        if scope["type"] == "lifespan":
            scope.get("state", {})["renderer"] = self._renderer
            await self._bentoml(scope, receive, send)
        else:
            await self._app(scope, receive, send)


class Edge:
    """Adds request ids, metrics, logs and security headers, and turns every exception into a problem document."""

    def __init__(self, app: ASGIApp, templates: dict[object, str], *, log: bool, shared: bool) -> None:
        self.app = app
        self._templates = templates
        self._log = log
        self._safe = (*SAFE[:-1], SHARED) if shared else SAFE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        if scope["type"] != "http":  # no route is a WebSocket
            await send({"type": "websocket.close"})
            return
        started = time.monotonic()
        request_log.begin()
        scope.setdefault("app", self)  # else Starlette answers 404 and 405 itself instead of raising HTTPException
        answer = Answer(scope, send, self._safe)
        try:
            check_target(scope)
            await self.app(scope, receive, answer.send)
        except ClientGoneError:
            await NOBODY(scope, receive, answer.send)
        except Exception as error:
            await self._fail(error, scope, receive, answer)
        self._record(scope, answer, time.monotonic() - started)

    def _record(self, scope: Scope, answer: "Answer", seconds: float) -> None:
        route = self._templates.get(scope.get("endpoint"), "none")
        method = scope["method"] if scope["method"] in METHODS else "other"
        metrics.requests_of(route, method, answer.status).inc()
        if answer.status < HTTPStatus.BAD_REQUEST:  # refusals are quick, and would lower the percentiles
            metrics.request_seconds_of(route).observe(seconds)
        if self._log:
            request_log.write(answer.request_id, method, route, answer.status, seconds)

    async def _fail(self, error: Exception, scope: Scope, receive: Receive, answer: "Answer") -> None:
        problem = _problem(error)
        if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            logger.error("Request %s failed", answer.request_id, exc_info=error)
        if not answer.status:
            await problem_page.answer(problem, scope)(scope, receive, answer.send)


class Answer:
    """The answer to one request: adds the request id and security headers, and keeps the status (0: not started)."""

    def __init__(self, scope: Scope, send: Send, safe: Sequence[Header]) -> None:
        self._scope = scope
        self._send = send
        self._safe = safe
        self.request_id = _request_id(Headers(scope=scope))
        self.status = 0

    async def send(self, message: Message) -> None:
        """Send a message of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = completed(message["headers"], self._safe)
            message["headers"].append((b"x-request-id", self.request_id.encode()))
            if is_draining(self._scope):  # the client then sends its next request to another server
                message["headers"].append((b"connection", b"close"))
        await self._send(message)


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if REQUEST_ID.fullmatch(given) else f"{_prefix}-{next(_numbers):x}"


def _problem(error: Exception) -> Problem:
    if isinstance(error, Problem):
        return error
    if isinstance(error, NotReadyError):
        return unavailable(ProblemType.NOT_READY, f"Not ready: {error}; ask again later.")
    if isinstance(error, HTTPException):  # Starlette's: 404 or 405
        return _unrouted(error)
    return Problem(
        ProblemType.INTERNAL_ERROR, "The server has a fault; report it with the X-Request-Id of this answer."
    )


def _unrouted(error: HTTPException) -> Problem:
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "GET, HEAD").split(", ")))
        return Problem(ProblemType.METHOD_NOT_ALLOWED, f"Use {allowed} here.", headers={"Allow": allowed})
    return Problem(ProblemType.NOT_FOUND, "Nothing has this path; draw with POST /generate, or see GET /docs.")
