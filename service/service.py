"""The BentoML service: ``bentoml serve`` runs this, and so does ``python -m service``."""

import asyncio
import os
import sys
from http import HTTPStatus
from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import DType
from pydantic import AfterValidator
from starlette.exceptions import HTTPException

from service import cpus
from service.engine.jobs import DeadlinePassedError, QueueFullError
from service.engine.library import Model
from service.engine.renderer import NotReadyError, Renderer
from service.engine.requests import RenderRequest
from service.errors import ServiceError
from service.formats.c2pa import read_signer
from service.formats.registry import ARRAYS
from service.runtime import rlimit, server, supervisor
from service.runtime.reload import Reloader
from service.settings import read_settings
from service.telemetry import metrics, prometheus_dir, tracing
from service.web.app import make_app
from service.web.auth import Access, Guard
from service.web.problem_types import ProblemType
from service.web.problems import MEDIA_TYPE, unavailable
from service.web.schemas import MAX_LATENT
from service.web.shortcut import Direct

os.environ.setdefault("BENTOML_DO_NOT_TRACK", "True")  # before BentoML reports that somebody serves

PATIENCE = 10  # seconds in which models load; a worker that needs longer says on /readyz that it does

try:
    settings = read_settings()
    renderer = Renderer(
        settings.models,
        settings.provider,
        cores=max(1, cpus.available() // settings.workers),
        streams=settings.device_streams,
        max_batch=settings.max_batch,
        queue=settings.queue,
    )
    signer = read_signer(settings.c2pa_key, settings.c2pa_certificate)
    tracing.is_on()
except ServiceError as error:
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2) from None
prometheus_dir.choose()
supervisor.install()
server.install(settings)
access = Access(settings)
reloader = Reloader(renderer)
reloader.heed_hangups()


def _first_model() -> Model:
    try:
        return renderer.library.find(None)
    except NotReadyError as error:
        raise bentoml.exceptions.ServiceUnavailable(str(error)) from error


def _latents(latents: np.ndarray) -> np.ndarray:
    """Check one client's latents before BentoML puts them in a batch with others'."""
    if latents.ndim != 2 or latents.dtype.kind not in "fiu" or not 1 <= len(latents) <= settings.max_images:
        raise ValueError(f"latents must be numbers, (N, Z), with N from 1 to {settings.max_images}")
    if not (np.abs(latents) <= MAX_LATENT).all():  # also refuses NaN
        raise ValueError(f"latents must lie from {-MAX_LATENT:g} to {MAX_LATENT:g}")
    size = _first_model().card.latent_dim
    if latents.shape[1] != size:
        raise ValueError(f"latents must have {size} numbers each, not {latents.shape[1]}")
    return latents.astype(np.float32)


Latents = Annotated[np.ndarray, AfterValidator(_latents)]
Images = Annotated[np.ndarray, DType("uint8")]


@bentoml.service(
    name="nelumbo",
    workers=settings.workers,
    http={"host": str(settings.host), "port": settings.port},
    traffic={"timeout": settings.deadline + 30},  # a backstop: deadlines are kept by the mounted app
    metrics={"enabled": False},  # BentoML's are labelled by raw path; /metrics is the mounted app's
    logging={"access": {"enabled": False}},
    service_class=Direct,
)
@bentoml.asgi_app(make_app(renderer, settings, reloader.now, access, signer, server.LEAVING.is_set), path="/")
class Nelumbo:
    """Draws pictures from seeds and latents."""

    def __init__(self) -> None:
        if bentoml.server_context.worker_index is not None:
            supervisor.end_with_it()
        rlimit.raise_limit()
        # A worker takes no connection before this returns: beside others it is better silent than not ready.
        renderer.start(self._announce).join(PATIENCE)
        reloader.watch()

    @bentoml.api(batchable=True, max_batch_size=settings.max_images, max_latency_ms=int(settings.deadline * 1000))
    async def render(self, latents: Latents) -> Images:
        """Draw latents, (N, Z) float32, with the first model: images, (N, H, W, C) uint8."""
        request = RenderRequest(_first_model(), latents=list(latents))
        try:
            drawn, _ = renderer.submit(request, ARRAYS, settings.deadline)
            images: np.ndarray = await asyncio.wrap_future(drawn)
        except (NotReadyError, QueueFullError, DeadlinePassedError) as error:
            raise bentoml.exceptions.ServiceUnavailable(str(error)) from error
        metrics.IMAGES.labels(request.model.ref).inc(len(request))
        return images

    async def __is_ready__(self) -> bool:
        """Answer ``/readyz``; BentoML sends an HTTPException on as it is, so that it can say why not."""
        try:
            if server.LEAVING.is_set():
                raise NotReadyError("the server is stopping")
            return renderer.library is not None
        except NotReadyError as error:
            problem = unavailable(ProblemType.NOT_READY, f"Not ready: {error}.")
            headers = {**problem.headers, "Content-Type": MEDIA_TYPE}
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, problem.document(), headers) from error

    async def __is_alive__(self) -> bool:
        """Answer ``/livez`` and ``/healthz``."""
        return renderer.is_alive()

    @bentoml.on_shutdown
    def close(self) -> None:
        """Finish what is queued."""
        renderer.close()

    def _announce(self) -> None:
        if bentoml.server_context.worker_index in (None, 1):
            url = served.url or f"http://{settings.host}:{settings.port}"
            print(
                f'Serving on {url}\nTry: curl --json \'{{"seed":42,"format":"png"}}\' {url}/generate -o 42.png',
                flush=True,
            )


served: Any = Nelumbo  # the decorator made a bentoml.Service of the class, which its types do not tell
served.add_asgi_middleware(Guard, path="/render", access=access, limit=settings.max_body)
