"""Liveness and readiness probes: whether to restart this worker, and whether to send it requests."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Scope

from service.engine.library import NotReadyError
from service.engine.renderer import Renderer
from service.web.problem_types import ProblemType
from service.web.problems import unavailable


def is_draining(scope: Scope) -> bool:
    """Return whether the worker that has this request is about to stop; its server says so in the ASGI state."""
    draining = scope.get("state", {}).get("draining")
    return draining is not None and draining.is_set()


class Probes:
    """The handlers of ``/livez``, ``/healthz`` and ``/readyz``."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def live(self, _: Request) -> Response:
        """Answer 200 unless a thread of the renderer has died; raises Problem, 503."""
        if not self._renderer.is_alive():
            raise unavailable(ProblemType.NOT_READY, "A drawing thread has died; restart this worker.")
        return PlainTextResponse("\n")

    async def ready(self, request: Request) -> Response:
        """Answer 200 if this worker can draw; raises Problem, 503, with the reason."""
        if is_draining(request.scope):
            raise unavailable(ProblemType.NOT_READY, "Not ready: the server is stopping.")
        try:
            _ = self._renderer.library
        except NotReadyError as error:
            raise unavailable(ProblemType.NOT_READY, f"Not ready: {error}.") from error
        return PlainTextResponse("\n")
