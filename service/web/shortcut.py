"""The hot routes, without what BentoML lays around a mounted app."""

from typing import Any

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

from service.telemetry import tracing
from service.web.headers import Headers

HOT = ("/generate", "/images/", "/interpolate")


class Direct(bentoml.Service):  # type: ignore[misc]
    """A BentoML service whose mounted app answers its hot routes straight from the server.

    BentoML gives every request a span of OpenTelemetry that nobody collects, a timer that stays for as long as its
    timeout, a task, a context and a walk over its own routes: 0.25 ms, and a kilobyte that is held for a minute.
    """

    def to_asgi(self, is_main: bool = True) -> ASGIApp:
        """Return BentoML's app with the mounted one beside it; startup, probes and all else are BentoML's."""
        whole = Headers(super().to_asgi(is_main))
        mounted: ASGIApp = self.mount_apps[0][0]

        async def fork(scope: Scope, receive: Receive, send: Send) -> Any:
            hot = scope["type"] == "http" and scope["path"].startswith(HOT)
            await (mounted if hot else whole)(scope, receive, send)

        return tracing.traced(fork) if tracing.is_on() else fork
