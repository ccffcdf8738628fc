"""The routes and what each does."""

from collections.abc import Callable
from http import HTTPStatus

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive

from service.engine.batcher import DeadlinePassedError, QueueFullError, Timing
from service.engine.library import Library
from service.engine.renderer import Renderer
from service.formats.registry import FORMS, Form, Picture
from service.settings import Settings
from service.telemetry import metrics
from service.web import request_log
from service.web.admin import Admin
from service.web.auth import Access
from service.web.body import parse_json, read_body
from service.web.docs import Description
from service.web.images import Images
from service.web.interpolate import Interpolation
from service.web.models import Models
from service.web.negotiation import choose
from service.web.problems import Problem, unavailable
from service.web.schemas import read_request, to_picture
from service.web.static_files import ICON, INDEX, Page
from service.web.wait import first


class Routes:
    """The handlers, around one renderer."""

    def __init__(self, renderer: Renderer, settings: Settings, reload: Callable[[], Library], access: Access) -> None:
        self._renderer = renderer
        self._settings = settings
        self._access = access
        self._page = Page(settings.max_images)
        self._reload = reload

    def table(self) -> list[Route]:
        """Return every route of the mounted app."""
        description = Description(self._settings.max_images)
        models = Models(self._renderer)
        images = Images(self._renderer, self._settings, self.answer)
        interpolation = Interpolation(self._renderer, self._settings, self.answer)
        return [
            Route("/", self.index),
            Route("/page/{file}", self.page),
            Route("/favicon.ico", self.icon),
            Route("/generate", self.generate, methods=["POST"]),
            Route("/interpolate", interpolation.interpolate, methods=["POST"]),
            Route("/images/{model}/{file}", images.image),
            Route("/models", models.list),
            Route("/models/{model}", models.one),
            Route("/models/{model}/thumbnail.png", images.thumbnail),
            Route("/admin/reload", Admin(self._settings, self._reload).reload, methods=["POST"]),
            Route("/metrics", self.metrics),
            Route("/openapi.json", description.document),
            Route("/docs", description.page),
        ]

    async def index(self, request: Request) -> Response:
        """Show the page to a person, and tell a program where to go."""
        if choose(request.headers, ("text/html", "application/json")) == "text/html":
            return self._page.answer(request, INDEX)
        return JSONResponse(
            {"name": "Nelumbo", "draw": "POST /generate", "models": "GET /models"}, headers={"Vary": "Accept"}
        )

    async def page(self, request: Request) -> Response:
        """Send what the page is made of."""
        return self._page.answer(request, request.path_params["file"])

    async def icon(self, request: Request) -> Response:
        """Send the icon for which a browser asks by itself when it opens a picture or JSON in a tab."""
        return self._page.answer(request, ICON)

    async def generate(self, request: Request) -> Response:
        """Draw what the body asks for, in the form that the Accept header asks for."""
        body = await read_body(request.headers, request.receive, self._settings.max_body)
        media_type = choose(request.headers, tuple(FORMS))
        wanted = read_request(parse_json(request.headers, body), self._settings.max_images)
        picture = to_picture(wanted, self._renderer.library)
        return await self.answer(picture, media_type, FORMS[media_type], request)

    async def answer(self, picture: Picture, media_type: str, form: Form, request: Request) -> Response:
        """Draw a picture, and answer with what ``form`` makes of it."""
        allowance = await self._access.spend(request.scope, len(picture))
        content, timing = await self._draw(picture, form, request.receive)
        metrics.IMAGES.labels(picture.model.ref).inc(len(picture))
        metrics.QUEUE_SECONDS.observe(timing.queue)
        metrics.ENCODE_SECONDS.observe(timing.encode)
        return Response(content, headers=_headers(picture, form, timing) | allowance, media_type=media_type)

    async def metrics(self, _: Request) -> Response:
        """Answer Prometheus."""
        models = [(model.ref, model.digest, model.provider) for model in self._renderer.served]
        return Response(metrics.exposition(models), media_type=CONTENT_TYPE_LATEST)

    async def _draw(self, picture: Picture, form: Form, receive: Receive) -> tuple[bytes, Timing]:
        deadline = self._settings.deadline
        try:
            drawn, timing = self._renderer.submit(picture, form, deadline)
            request_log.note(picture, timing)
            return await first(drawn, receive, deadline), timing
        except QueueFullError as error:
            raise unavailable("The queue is full; ask again in a second, or for fewer images.") from error
        except DeadlinePassedError as error:
            detail = f"Not drawn within {deadline:g} seconds; ask for fewer images, or again when there is less to do."
            raise Problem(HTTPStatus.GATEWAY_TIMEOUT, detail) from error


def _headers(picture: Picture, form: Form, timing: Timing) -> dict[str, str]:
    disposition = "attachment" if form.extension == "zip" else "inline"
    stages = {"queue": timing.queue, "infer": timing.infer, "encode": timing.encode}
    headers = {
        "X-Model": picture.model.ref,
        "X-Deterministic": picture.model.deterministic,
        "Server-Timing": ", ".join(f"{stage};dur={seconds * 1000:.2f}" for stage, seconds in stages.items()),
        "Vary": "Accept",
        "Content-Disposition": f'{disposition}; filename="{picture.title()}.{form.extension}"',
    }
    return headers | ({"X-Seed": seeds} if (seeds := picture.seed_text()) else {})
