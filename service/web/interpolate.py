"""``POST /interpolate``: the frames from one image to another, and on to further ones."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from service.engine import interpolation, latents
from service.engine.model import Model
from service.engine.requests import FRAME_MS, Interpolation
from service.formats.registry import MOVING, STILL, Kinds, offered
from service.web.body import run_by_size
from service.web.conditions import find_conditions
from service.web.drawing import DrawingRoute
from service.web.fields import SEED_OR_LATENT
from service.web.negotiation import Offer
from service.web.problem_types import ProblemType
from service.web.problems import FieldError, invalid
from service.web.schemas import InterpolateRequest, check_count, check_lengths, find_model, validate

SHORTEST = 20  # milliseconds of a frame: browsers show one of less for 100
KINDS: dict[str, Kinds] = {"animation": MOVING, "strip": STILL}


class InterpolateRoute(DrawingRoute[InterpolateRequest]):
    """The handler."""

    @cached_property
    def _offers(self) -> dict[str, Offer]:
        """What is offered for each form."""
        return {form: Offer(offered(kinds)) for form, kinds in KINDS.items()}

    async def interpolate(self, request: Request) -> Response:
        """Draw the frames that the body asks for, in the format that it or the Accept header names."""
        wanted = await self._read(request)
        answer_format = self._offers[wanted.form].choose(wanted.format, request.headers)
        model = find_model(self._renderer.library, wanted.model)
        drawing = await run_by_size(wanted.steps * model.card.latent_dim, to_interpolation, wanted, model)
        return await self._respond(drawing, answer_format, request)

    def _validate(self, data: Any, headers: Headers) -> InterpolateRequest:
        wanted = read_interpolation(data)
        check_count("steps", wanted.steps, self._max_images)
        return wanted


def read_interpolation(data: Any) -> InterpolateRequest:
    """Validate a parsed body, except for what depends on the model; raises Problem, 422."""
    wanted = validate(InterpolateRequest, data)
    ends = {"from": wanted.start, "to": wanted.to}
    if wanted.points and (given := [field for field, end in ends.items() if end is not None]):
        errors = [FieldError(field=field, message=f"{field} cannot be combined with points") for field in given]
        raise invalid(ProblemType.CONFLICTING_FIELDS, errors)
    if wanted.class_ is not None and wanted.classes:
        error = FieldError(field="classes", message="classes cannot be combined with class")
        raise invalid(ProblemType.CONFLICTING_FIELDS, [error])
    if wrong := [*_missing(wanted, ends), *_too_few(wanted)]:
        raise invalid(ProblemType.INVALID_FIELD, wrong)
    return wanted


def _missing(wanted: InterpolateRequest, ends: dict[str, Any]) -> list[FieldError]:
    if wanted.points:
        return []
    return [
        FieldError(field=field, message=f"{field} must be {SEED_OR_LATENT}")
        for field, end in ends.items()
        if end is None
    ]


def _too_few(wanted: InterpolateRequest) -> Iterator[FieldError]:
    for field, count in (("points", len(wanted.points or ())), ("classes", len(wanted.classes or ()))):
        if count > wanted.steps:
            yield FieldError(field="steps", message=f"steps must be at least {count}, a frame for each of {field}")
    if wanted.seconds is not None and _milliseconds(wanted) < SHORTEST:
        least = wanted.steps * SHORTEST / 1000
        yield FieldError(field="seconds", message=f"seconds must be at least {least:g} for {wanted.steps} steps")


def _milliseconds(wanted: InterpolateRequest) -> int:
    """Return how long each frame is shown."""
    return FRAME_MS if wanted.seconds is None else round(1000 * wanted.seconds / wanted.steps)


def to_interpolation(wanted: InterpolateRequest, model: Model) -> Interpolation:
    """Turn a valid body into what to draw with its model; raises Problem, 422."""
    names = [f"points.{i}" for i in range(len(wanted.stops))] if wanted.points else ["from", "to"]
    stops = dict(zip(names, wanted.stops, strict=True))
    check_lengths({field: stop for field, stop in stops.items() if isinstance(stop, list)}, model)
    conditions = find_conditions(model, wanted)
    given = [_latent(stop, model.card.latent_dim) for stop in wanted.stops]
    return Interpolation(
        model,
        latents=list(interpolation.through(given, wanted.steps, wanted.path, wanted.loop)),
        **conditions | {"labels": _labels(wanted, conditions.get("labels", ()), model)},
        scale=wanted.scale,
        resample=wanted.resample,
        milliseconds=_milliseconds(wanted),
        points=tuple(stop if isinstance(stop, int) else None for stop in wanted.stops),
        path=wanted.path,
        loop=wanted.loop,
    )


def _labels(wanted: InterpolateRequest, asked: Sequence[int], model: Model) -> Sequence[int]:
    """Return the class of all frames, or of each: they go through those asked for, else keep that of the first end."""
    if len(asked) > 1:
        return [asked[i * len(asked) // wanted.steps] for i in range(wanted.steps)]
    classes = len(model.card.classes)
    first = wanted.stops[0]
    if asked or not classes:
        return asked
    return [latents.label_of(first, model.card.latent_dim, classes) if isinstance(first, int) else 0]


def _latent(stop: int | list[float], size: int) -> latents.Latent:
    return latents.from_seed(stop, size) if isinstance(stop, int) else np.array(stop, np.float32)
