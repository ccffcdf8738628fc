"""``POST /generate``: images of seeds and latents."""

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.formats.base import AnswerFormat
from service.formats.registry import STILL, offered
from service.web.body import parse_json, read_body, run_by_size
from service.web.negotiation import choose_format
from service.web.responder import Respond
from service.web.schemas import read_request, to_render_request


class GenerateRoute:
    """The handler.

    Args:
        renderer: whose models are asked for.
        respond: draws and answers.
        max_body: most bytes in a body.
        max_images: most images in one request.
    """

    def __init__(self, renderer: Renderer, respond: Respond, *, max_body: int, max_images: int) -> None:
        self._renderer = renderer
        self._respond = respond
        self._max_body = max_body
        self._max_images = max_images

    async def generate(self, request: Request) -> Response:
        """Draw what the body asks for, in the format that it or the Accept header names."""
        body = await read_body(request.headers, request.receive, self._max_body)
        drawing, answer_format = await run_by_size(len(body), self._read, request.headers, body)
        return await self._respond(drawing, answer_format, request)

    def _read(self, headers: Headers, body: bytes) -> tuple[RenderRequest, AnswerFormat]:
        wanted = read_request(parse_json(headers, body), self._max_images)
        answer_format = choose_format(wanted.format, headers, offered(STILL))
        return to_render_request(wanted, self._renderer.library), answer_format
