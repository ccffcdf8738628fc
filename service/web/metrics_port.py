"""``/metrics`` on its own port, so that a network policy can separate it from the API."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

METRICS = "/metrics"


class MetricsPort:
    """Serves ``/metrics`` on one port alone, and nothing else there."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; raises HTTPException, 404, for a path that its port does not serve."""
        if (scope["server"][1] == self._port) != (scope["path"] == METRICS):
            raise HTTPException(HTTPStatus.NOT_FOUND)
        await self._app(scope, receive, send)
