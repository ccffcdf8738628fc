"""An app whose one route does nothing, in as many workers as ours: what a request costs before anything is drawn.

``python -m benchmarks.serving.empty`` runs it under uvicorn, as our app is;
``bentoml serve benchmarks.serving.empty:Mounted`` runs it as BentoML mounts apps.
"""

import bentoml
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router

from service.settings import read_settings

settings = read_settings()


async def nothing(_: Request) -> Response:
    return Response()


app = Router([Route("/generate", nothing, methods=["POST"]), Route("/readyz", nothing)])


@bentoml.service(
    name="mounted",
    workers=settings.workers,
    http={"host": str(settings.host), "port": settings.port},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(app)
class Mounted:
    """The route as BentoML mounts it."""


if __name__ == "__main__":
    uvicorn.run(
        "benchmarks.serving.empty:app",
        host=str(settings.host),
        port=settings.port,
        workers=settings.workers,
        http="httptools",
        ws="none",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
    )
