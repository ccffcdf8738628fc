"""``POST /interpolate``: the pictures on the way from one to another."""

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from service.engine import interpolation, latents
from service.engine.library import Library
from service.engine.renderer import Renderer
from service.formats.animation import FORMS_OF, Walk
from service.settings import Settings
from service.web.body import parse_json, read_body
from service.web.images import Answer
from service.web.negotiation import choose
from service.web.problems import FieldError
from service.web.schemas import InterpolateRequest, check_lengths, find_model, invalid, validate


class Interpolation:
    """The handler, around the one function that draws and answers."""

    def __init__(self, renderer: Renderer, settings: Settings, answer: Answer) -> None:
        self._renderer = renderer
        self._settings = settings
        self._answer = answer

    async def interpolate(self, request: Request) -> Response:
        """Draw the way that the body asks for, in the form that it and the Accept header ask for."""
        body = await read_body(request.headers, request.receive, self._settings.max_body)
        wanted = validate(InterpolateRequest, parse_json(request.headers, body))
        if wanted.steps > self._settings.max_images:
            message = (
                f"steps must be at most {self._settings.max_images}, the most images that this server draws at once"
            )
            raise invalid([FieldError(field="steps", message=message)])
        forms = FORMS_OF[wanted.form]
        media_type = choose(request.headers, tuple(forms))
        walk = to_walk(wanted, self._renderer.library)
        return await self._answer(walk, media_type, forms[media_type], request)


def to_walk(request: InterpolateRequest, library: Library) -> Walk:
    """Turn a valid request into what to draw; raises Problem, 404 or 422."""
    model = find_model(library, request.model)
    ends = {"from": request.start, "to": request.to}
    check_lengths({field: end for field, end in ends.items() if isinstance(end, list)}, model)
    start, end = (_latent(end, model.card.latent_dim) for end in ends.values())
    frames = interpolation.PATHS[request.path](start, end, request.steps)
    seeds = [end if isinstance(end, int) else None for end in ends.values()]
    return Walk(model, request.truncation, latents=list(frames), ends=(seeds[0], seeds[1]), path=request.path)


def _latent(end: int | list[float], size: int) -> NDArray[np.float32]:
    return latents.from_seed(end, size) if isinstance(end, int) else np.array(end, np.float32)
