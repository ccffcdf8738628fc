"""``POST /interpolate``: the frames from one image to another."""

import numpy as np
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from service.engine import interpolation, latents
from service.engine.library import Model
from service.engine.renderer import Renderer
from service.engine.requests import Interpolation
from service.formats.registry import MOVING, STILL, Kinds, offered
from service.web.body import parse_json, read_body, run_by_size
from service.web.negotiation import choose_format
from service.web.problem_types import ProblemType
from service.web.problems import FieldError, invalid
from service.web.responder import Respond
from service.web.schemas import InterpolateRequest, check_lengths, find_model, validate

KINDS: dict[str, Kinds] = {"animation": MOVING, "strip": STILL}


class InterpolateRoute:
    """The handler; its arguments are those of :class:`service.web.generate.GenerateRoute`."""

    def __init__(self, renderer: Renderer, respond: Respond, *, max_body: int, max_images: int) -> None:
        self._renderer = renderer
        self._respond = respond
        self._max_body = max_body
        self._max_images = max_images

    async def interpolate(self, request: Request) -> Response:
        """Draw the frames that the body asks for, in the format that it or the Accept header names."""
        body = await read_body(request.headers, request.receive, self._max_body)
        wanted = await run_by_size(len(body), self._read, request.headers, body)
        answer_format = choose_format(wanted.format, request.headers, offered(KINDS[wanted.form]))
        model = find_model(self._renderer.library, wanted.model)
        drawing = await run_by_size(wanted.steps * model.card.latent_dim, to_interpolation, wanted, model)
        return await self._respond(drawing, answer_format, request)

    def _read(self, headers: Headers, body: bytes) -> InterpolateRequest:
        wanted = validate(InterpolateRequest, parse_json(headers, body))
        if wanted.steps > self._max_images:
            message = f"steps must be at most {self._max_images}, as many images as this server draws at once"
            raise invalid(ProblemType.TOO_MANY_IMAGES, [FieldError(field="steps", message=message)])
        return wanted


def to_interpolation(request: InterpolateRequest, model: Model) -> Interpolation:
    """Turn a valid body into what to draw with its model; raises Problem, 422."""
    ends = {"from": request.start, "to": request.to}
    check_lengths({field: end for field, end in ends.items() if isinstance(end, list)}, model)
    start, end = (_latent(end, model.card.latent_dim) for end in ends.values())
    frames = interpolation.PATHS[request.path](start, end, request.steps)
    seeds = [end if isinstance(end, int) else None for end in ends.values()]
    return Interpolation(model, request.truncation, latents=list(frames), ends=(seeds[0], seeds[1]), path=request.path)


def _latent(end: int | list[float], size: int) -> latents.Latent:
    return latents.from_seed(end, size) if isinstance(end, int) else np.array(end, np.float32)
