"""The table of routes, and the handlers that need no module of their own."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.engine.renderer import Renderer
from service.errors import redact_path
from service.formats.c2pa import Signer
from service.settings import Settings
from service.web.admin import AdminRoutes, Reload
from service.web.auth import Access
from service.web.docs import DocsRoutes
from service.web.generate import GenerateRoute
from service.web.images import ImageRoutes
from service.web.interpolate import InterpolateRoute
from service.web.invert import InvertRoute
from service.web.metrics_route import MetricsRoute
from service.web.models import ModelRoutes
from service.web.negotiation import choose
from service.web.openai_images import OpenAIRoutes
from service.web.probes import Probes
from service.web.render import RenderRoute
from service.web.responder import Respond, Responder
from service.web.static_files import ICON, INDEX, Page


def routes(
    renderer: Renderer, settings: Settings, reload: Reload, access: Access, signer: Signer | None
) -> list[Route]:
    """Return every route of the app; docs/architecture.md says what belongs to a new one.

    They are tried in this order, so those that are asked for most come first.
    """
    respond = Responder(renderer, access, signer, settings.deadline).respond
    return [
        *_drawing(renderer, respond, settings),
        *_images(renderer, respond, settings, signer),
        *_inversion(renderer, settings, access, signer),
        *_models(renderer),
        *_operation(renderer, settings, reload),
        *_pages(settings),
    ]


def _drawing(renderer: Renderer, respond: Respond, settings: Settings) -> list[Route]:
    """Return the routes that draw what a body asks for."""
    bounds = {"max_body": settings.max_body, "max_images": settings.max_images}
    openai = OpenAIRoutes(renderer, respond, **bounds)
    return [
        Route("/generate", GenerateRoute(renderer, respond, **bounds).generate, methods=["POST"]),
        Route("/interpolate", InterpolateRoute(renderer, respond, **bounds).interpolate, methods=["POST"]),
        Route("/render", RenderRoute(renderer, respond, **bounds).render, methods=["POST"]),
        Route("/v1/images/generations", openai.generations, methods=["POST"]),
        Route("/v1/models", openai.models),
        Route("/v1/models/{model}", openai.model),
    ]


def _images(renderer: Renderer, respond: Respond, settings: Settings, signer: Signer | None) -> list[Route]:
    """Return the routes of images under URLs of their own."""
    shared, most = settings.api_keys is None, settings.max_images
    images = ImageRoutes(renderer, respond, max_images=most, shared_caches=shared, signer=signer)
    return [
        Route("/images/{model}/{file}", images.image),
        Route("/models/{model}/thumbnail.png", images.thumbnail),
    ]


def _inversion(renderer: Renderer, settings: Settings, access: Access, signer: Signer | None) -> list[Route]:
    invert = InvertRoute(
        renderer,
        access,
        signer,
        max_photo=settings.max_photo,
        max_images=settings.max_images,
        deadline=settings.deadline,
    )
    return [Route("/invert", invert.invert, methods=["POST"])]


def _models(renderer: Renderer) -> list[Route]:
    models = ModelRoutes(renderer)
    return [Route("/models", models.list), Route("/models/{model}", models.one)]


def _operation(renderer: Renderer, settings: Settings, reload: Reload) -> list[Route]:
    """Return the routes for who runs the server."""
    probes = Probes(renderer)
    admin = AdminRoutes(reload, settings.current_admin_token, redact=lambda text: redact_path(text, settings.models))
    return [
        Route("/admin/reload", admin.reload, methods=["POST"]),
        Route("/metrics", MetricsRoute(renderer).metrics),
        Route("/livez", probes.live),
        Route("/healthz", probes.live),
        Route("/readyz", probes.ready),
    ]


def _pages(settings: Settings) -> list[Route]:
    """Return the page, and the description of the API."""
    page = PageRoutes(Page(settings.max_images))
    docs = DocsRoutes(settings.max_images)
    return [
        Route("/", page.index),
        Route("/page/{file}", page.file),
        Route("/favicon.ico", page.icon),
        Route("/openapi.json", docs.document),
        Route("/docs", docs.page),
        Route("/problems/{slug}", docs.problem),
    ]


class PageRoutes:
    """The page, for people."""

    def __init__(self, page: Page) -> None:
        self._page = page

    async def index(self, request: Request) -> Response:
        """Send the page to a browser, and to a program what it can call."""
        if choose(request.headers, ("text/html", "application/json")) == "text/html":
            return self._page.answer(request, INDEX)
        return JSONResponse(
            {"name": "Nelumbo", "draw": "POST /generate", "models": "GET /models"}, headers={"Vary": "Accept"}
        )

    async def file(self, request: Request) -> Response:
        """Send a file of the page."""
        return self._page.answer(request, request.path_params["file"])

    async def icon(self, request: Request) -> Response:
        """Send the icon, which browsers request on their own for an image or JSON in a tab."""
        return self._page.answer(request, ICON)
