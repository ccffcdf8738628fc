"""Services whose one route does nothing, in as many workers as ours: what a request costs before anything is drawn."""

import bentoml
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from service.settings import read_settings
from service.web.shortcut import Direct

settings = read_settings()
AS_OURS = {
    "workers": settings.workers,
    "http": {"host": str(settings.host), "port": settings.port},
    "metrics": {"enabled": False},
    "logging": {"access": {"enabled": False}},
}


async def nothing(_: Request) -> Response:
    return Response()


app = Router([Route("/generate", nothing, methods=["POST"])])


@bentoml.service(name="mounted", **AS_OURS)
@bentoml.asgi_app(app)
class Mounted:
    """The route as BentoML mounts it."""


@bentoml.service(name="hot", service_class=Direct, **AS_OURS)
@bentoml.asgi_app(app)
class Hot:
    """The route as ours are served."""
