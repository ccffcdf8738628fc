"""The BentoML service. ``bentoml serve`` runs it as it is; ``python -m service`` runs it behind our own server."""

import asyncio
import sys
from collections.abc import Callable
from typing import Annotated, Any

import bentoml
import numpy as np
from bentoml.validators import DType
from pydantic import AfterValidator
from starlette.types import ASGIApp, Receive, Scope, Send

from service import cpus, rlimit
from service.contract.inputs import MAX_LATENT
from service.engine import conditions, crashes
from service.engine.conditions import ConditionError
from service.engine.jobs import DeadlinePassedError, QueueFullError
from service.engine.library import Library, NotReadyError, UnknownModelError
from service.engine.model import Model
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.errors import ServiceError
from service.formats.c2pa import read_signer
from service.formats.registry import ARRAYS
from service.settings import read_settings
from service.telemetry import metrics, tracing
from service.web.admin import Reload
from service.web.app import make_access, make_app
from service.web.bento import CHECKED

LOADING = 10.0  # seconds in which models load before a lone worker accepts connections, so that /readyz says why not

try:
    settings = read_settings()
    renderer = Renderer(
        settings.models,
        settings.provider,
        cores=max(1, cpus.available() // settings.workers),
        streams=settings.device_streams,
        max_batch=settings.max_batch,
        queue=settings.queue,
        load_seconds=settings.load_seconds,
        default=settings.default_model,
    )
    signer = read_signer(settings.c2pa_key, settings.c2pa_certificate)
    tracing.is_on()
except ServiceError as error:
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2) from None
access = make_access(settings)


def _default_model() -> Model:
    try:
        return renderer.library.find(None)
    except NotReadyError as error:
        raise bentoml.exceptions.ServiceUnavailable(str(error)) from error
    except UnknownModelError as error:
        raise bentoml.exceptions.NotFound(f"the default model was removed; there are {error}") from error


def _latents(latents: np.ndarray) -> np.ndarray:
    """Check a client's latents."""
    if latents.ndim != 2 or latents.dtype.kind not in "fiu" or not 1 <= len(latents) <= settings.max_images:
        raise ValueError(f"latents must be numbers, (N, Z), with N from 1 to {settings.max_images}")
    if not (np.abs(latents) <= MAX_LATENT).all():  # also refuses NaN
        raise ValueError(f"latents must lie from {-MAX_LATENT:g} to {MAX_LATENT:g}")
    size = _default_model().card.latent_dim
    if latents.shape[1] != size:
        raise ValueError(f"latents must have {size} numbers each, not {latents.shape[1]}")
    return latents.astype(np.float32)


Latents = Annotated[np.ndarray, AfterValidator(_latents)]
Images = Annotated[np.ndarray, DType("uint8")]


@bentoml.service(
    name="nelumbo",
    workers=settings.workers,
    http={"host": str(settings.host), "port": settings.port},
    traffic={"timeout": settings.deadline + 30},  # a backstop: our app keeps the deadline
    metrics={"enabled": False},  # BentoML's are labelled by raw path; /metrics is ours
    logging={"access": {"enabled": False}},
)
class Nelumbo:
    """Draws images from seeds and latents."""

    def __init__(self) -> None:
        rlimit.raise_limit()
        crashes.start()
        renderer.start(lambda: None)
        # A worker accepts no connection before this returns. One beside others would answer 503 to what they can draw.
        renderer.settled.wait(LOADING if settings.workers == 1 else None)

    # Not batchable in BentoML's sense, which knows one argument only: our own queue forms the batches.
    @bentoml.api
    async def render(
        self,
        latents: Latents,
        labels: list[int] | None = None,
        truncation: float | None = None,
        directions: list[float] | None = None,
    ) -> Images:
        """Draw latents, (N, Z) float32, with the default model: images, (N, H, W, C) uint8.

        ``labels`` are N numbers of classes, ``directions`` an amount for each direction, where the model has them.
        """
        model = _default_model()
        try:
            numbered = conditions.numbered(model, len(latents), labels, truncation, directions)
        except ConditionError as error:
            raise bentoml.exceptions.InvalidArgument(str(error)) from error
        request = RenderRequest(model, latents=list(latents), **numbered._asdict())
        try:
            drawn, _ = renderer.submit(request, ARRAYS, settings.deadline)
            images: np.ndarray = await asyncio.wrap_future(drawn)
        except (NotReadyError, QueueFullError, DeadlinePassedError) as error:
            raise bentoml.exceptions.ServiceUnavailable(str(error)) from error
        metrics.IMAGES.labels(request.model.ref).inc(len(request))
        return images

    @bentoml.on_shutdown
    def close(self) -> None:
        """Finish what is queued."""
        renderer.close()


def make_outermost(app: ASGIApp, tell_others: Callable[[], None] | None, metrics_port: int | None = None) -> ASGIApp:
    """Return our app with BentoML's ``app`` behind it.

    ``tell_others`` is called after a reload that a client asked for, to have the other workers reload too; None: there
    are none, or they cannot, as BentoML's supervisor can restart them only (docs/start.md).
    ``metrics_port`` is the one port that answers /metrics; None: the service's own does.
    """

    def load() -> Library:
        library = renderer.reload()
        if tell_others:
            tell_others()
        return library

    reload = Reload(load, by_all=tell_others is not None or settings.workers == 1)
    made = make_app(renderer, settings, reload, access, signer, bentoml=app, metrics_port=metrics_port)
    return tracing.traced(made) if tracing.is_on() else made


class Outermost:
    """A middleware that puts our app around BentoML's where ``bentoml serve`` runs it."""

    def __init__(self, app: ASGIApp) -> None:
        self._bentoml = app
        self._made: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what our app has seen, and let it answer all else."""
        if scope["type"] == "lifespan" or CHECKED in scope:
            await self._bentoml(scope, receive, send)
            return
        if self._made is None:
            self._made = make_outermost(self._bentoml, tell_others=None)
        await self._made(scope, receive, send)


served: Any = Nelumbo  # the decorator made a bentoml.Service of the class, which its types do not tell
served.add_asgi_middleware(Outermost)
