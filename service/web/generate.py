"""``POST /generate``: images of seeds and latents."""

from functools import cached_property
from typing import Any

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from service.engine.requests import RenderRequest
from service.formats.base import AnswerFormat
from service.formats.registry import STILL, offered
from service.web.drawing import DrawingRoute
from service.web.negotiation import Offer
from service.web.schemas import read_request, to_render_request


class GenerateRoute(DrawingRoute[tuple[RenderRequest, AnswerFormat]]):
    """The handler."""

    @cached_property
    def _offer(self) -> Offer:
        return Offer(offered(STILL))

    async def generate(self, request: Request) -> Response:
        """Draw what the body asks for, in the format that it or the Accept header names."""
        return await self._respond(*await self._read(request), request)

    def _validate(self, data: Any, headers: Headers) -> tuple[RenderRequest, AnswerFormat]:
        wanted = read_request(data, self._max_images)
        answer_format = self._offer.choose(wanted.format, headers)
        return to_render_request(wanted, self._renderer.library), answer_format
