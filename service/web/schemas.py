"""The bodies and queries of requests, and a sentence for each way to get one wrong.

A field's description is its rule: it completes "must be …" in an error.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, create_model
from starlette.requests import Request

from service.contract.inputs import MAX_DIRECTIONS
from service.engine import latents
from service.engine.library import Library, UnknownModelError
from service.engine.model import Model
from service.engine.requests import RenderRequest
from service.web.conditions import find_conditions
from service.web.fields import (
    MAX_ITEMS,
    MAX_POINTS,
    MAX_SECONDS,
    MAX_STEPS,
    NO_AMOUNTS,
    SEED_OR_LATENT,
    WHOLE,
    Amount,
    Amounts,
    ClassName,
    FormatName,
    Latent,
    ModelName,
    Name,
    Resample,
    Scale,
    Seed,
    SeedOrLatent,
    Truncation,
)
from service.web.problem_types import ProblemType
from service.web.problems import FieldError, Problem, invalid

MAX_UNKNOWN = 24  # unknown fields of a request that an error names
SOURCES = ("seed", "seeds", "latent", "latents", "n", "class", "classes")
COUNTED = ("n", "seeds", "latents", "classes")  # those that say how many images: a body may have one of them
TOGETHER = (  # what of SOURCES a body may combine
    {"seed", "n", "class"},
    {"seed", "classes"},
    {"seeds", "class"},
    {"latent", "class"},
    {"latent", "classes"},
    {"latents", "class"},
)


def _only(together: set[str]) -> dict[str, JsonValue]:
    """Return the JSON schema of a body that has of ``SOURCES`` nothing but these."""
    return {"properties": {name: {"type": "null"} for name in sorted({*SOURCES} - together)}}


class GenerateRequest(BaseModel):
    """The images to draw."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {"seed": 42, "format": "png"},
                {"model": "digits@1", "seed": 0, "n": 16, "scale": 4, "format": "zip"},
            ],
            "anyOf": [_only(together) for together in TOGETHER],
        },
    )

    model: ModelName = None
    seed: Seed | None = Field(None, description="an integer from 0 to 4294967295")
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)] | None = Field(
        None, description="a list of integers from 0 to 4294967295"
    )
    latent: Latent | None = Field(None, description="a list of numbers from -1000 to 1000")
    latents: Annotated[list[Latent], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)] | None = Field(
        None, description="a list of latents, each a list of numbers from -1000 to 1000"
    )
    n: Annotated[int, Field(ge=1), WHOLE] | None = Field(None, description="an integer of at least 1")
    class_: ClassName = Field(None, alias="class")
    classes: Annotated[list[Name], Field(min_length=1, max_length=MAX_ITEMS, fail_fast=True)] | None = Field(
        None, description="a list of names of classes, in each of which one seed or latent is drawn"
    )
    truncation: Truncation = None
    directions: Amounts = NO_AMOUNTS
    scale: Scale = 1
    resample: Resample = None
    format: FormatName = None

    @property
    def images(self) -> int:
        """How many images are asked for."""
        return len(self.seeds or self.latents or self.classes or ()) or self.n or 1

    @property
    def class_names(self) -> list[str]:
        """The classes that are asked for: none, one for all images, or one for each."""
        return self.classes or ([self.class_] if self.class_ is not None else [])


class InterpolateRequest(BaseModel):
    """The latents between which to interpolate, and how."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {"from": 1, "to": 2, "format": "apng"},
                {"from": 1, "to": 2, "steps": 8, "form": "strip", "format": "png"},
                {"points": [1, 2, 3], "loop": True, "steps": 48, "seconds": 4, "format": "gif"},
            ]
        },
    )

    model: ModelName = None
    start: SeedOrLatent | None = Field(None, alias="from", description=SEED_OR_LATENT)
    to: SeedOrLatent | None = Field(None, description=SEED_OR_LATENT)
    points: Annotated[list[SeedOrLatent], Field(min_length=2, max_length=MAX_POINTS)] | None = Field(
        None, description=f"a list of 2 to {MAX_POINTS} seeds or latents, in place of from and to"
    )
    loop: bool = Field(False, description="true, to end where it began, or false")
    steps: Annotated[int, Field(ge=2, le=MAX_STEPS), WHOLE] = Field(16, description=f"an integer from 2 to {MAX_STEPS}")
    seconds: Annotated[float, Field(ge=0.1, le=MAX_SECONDS)] | None = Field(
        None, description=f"a number from 0.1 to {MAX_SECONDS:g}: how long an animation is"
    )
    class_: ClassName = Field(None, alias="class")
    classes: Annotated[list[Name], Field(min_length=1, max_length=MAX_STEPS, fail_fast=True)] | None = Field(
        None, description="a list of names of classes, through which the frames go, each for as many"
    )
    truncation: Truncation = None
    directions: Amounts = NO_AMOUNTS
    path: Literal["slerp", "linear"] = Field("slerp", description='"slerp" (the great circle) or "linear"')
    form: Literal["animation", "strip"] = Field(
        "animation", description='"animation" or "strip", for an answer that is an image'
    )
    scale: Scale = 1
    resample: Resample = None
    format: FormatName = None

    @property
    def stops(self) -> list[int | list[float]]:
        """The seeds and latents that the walk passes."""
        return self.points or [one for one in (self.start, self.to) if one is not None]

    @property
    def class_names(self) -> list[str]:
        """The classes that are asked for: none, one for all frames, or those that the frames go through."""
        return self.classes or ([self.class_] if self.class_ is not None else [])


class _ImageQuery(BaseModel):
    """The query parameters of an image."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    class_: ClassName = Field(None, alias="class")
    truncation: Truncation = None
    scale: Scale = 1
    resample: Resample = None

    @property
    def directions(self) -> dict[str, float]:
        """The amounts by the numbers of their directions."""
        amounts = {f"{number}": getattr(self, f"d{number}") for number in range(MAX_DIRECTIONS)}
        return {number: amount for number, amount in amounts.items() if amount}

    @property
    def class_names(self) -> list[str]:
        """The class that is asked for, or none."""
        return [self.class_] if self.class_ is not None else []


_AMOUNT = Field(0.0, description="a number from -100 to 100: the amount along the model's direction of this number")
_AMOUNTS: dict[str, Any] = {f"d{number}": (Amount, _AMOUNT) for number in range(MAX_DIRECTIONS)}
ImageQuery = create_model("ImageQuery", __base__=_ImageQuery, **_AMOUNTS)


Schema = TypeVar("Schema", bound=BaseModel)


def read_request(data: Any, max_images: int) -> GenerateRequest:
    """Validate a parsed body, except for what depends on the model; raises Problem, 422."""
    request = validate(GenerateRequest, data)
    if conflicts := _conflicts(data):
        raise invalid(ProblemType.CONFLICTING_FIELDS, conflicts)
    if (images := request.images) > max_images:
        (field,) = [name for name in COUNTED if data.get(name) is not None]
        check_count(field, images, max_images)
    return request


def check_count(field: str, images: int, most: int) -> None:
    """Raise Problem, 422, if a field asks for more images than a server draws at once."""
    if images > most:
        error = FieldError(field=field, message=f"{field} must ask for at most {most} images")
        raise invalid(ProblemType.TOO_MANY_IMAGES, [error])


def to_render_request(request: GenerateRequest, library: Library) -> RenderRequest:
    """Turn a valid body into what to draw; raises Problem, 404 or 422."""
    model = find_model(library, request.model)
    more = find_conditions(model, request)
    if request.scale > 1:
        more |= {"scale": request.scale, "resample": request.resample}
    times = len(request.classes) if request.classes else 1
    if given := request.latents or ([request.latent] if request.latent else None):
        fields = [f"latents.{i}" for i in range(len(given))] if request.latents else ["latent"]
        check_lengths(dict(zip(fields, given, strict=True)), model)
        return RenderRequest(model, latents=[np.array(latent, np.float32) for latent in given] * times, **more)
    if request.seeds:
        return RenderRequest(model, seeds=request.seeds, **more)
    first = secrets.randbelow(latents.SEEDS) if request.seed is None else request.seed
    return RenderRequest(model, seeds=latents.consecutive(first, request.n or 1) * times, **more)


def find_model(library: Library, ref: str | None) -> Model:
    """Return the model called ``ref``, or the default; raises Problem, 404, with those that there are."""
    try:
        return library.find(ref)
    except UnknownModelError as error:
        removed = f"The default model {library.default} was removed. " if ref is None else ""
        raise Problem(ProblemType.UNKNOWN_MODEL, f"{removed}Ask for a model that is served: {error}.") from error


def _conflicts(data: Mapping[str, Any]) -> list[FieldError]:
    if any(data.keys() & SOURCES <= together for together in TOGETHER):  # as of most requests
        return []
    given = [name for name in SOURCES if data.get(name) is not None]
    kept: list[str] = []
    errors = []
    for name in given:
        against = [one for one in kept if not any({one, name} <= together for together in TOGETHER)]
        if against:
            errors.append(FieldError(field=name, message=f"{name} cannot be combined with {against[0]}"))
        else:
            kept.append(name)
    return errors


def check_lengths(given: Mapping[str, Sequence[float]], model: Model) -> None:
    """Check that latents, by their fields, have the model's length; raises Problem, 422."""
    size = model.card.latent_dim
    errors = [
        FieldError(
            field=field,
            message=f"{field.partition('.')[0]} must have the {size} numbers that {model.ref} takes, not {len(latent)}",
        )
        for field, latent in given.items()
        if len(latent) != size
    ]
    if errors:
        raise invalid(ProblemType.INVALID_LATENT, errors)


def read_query(request: Request) -> dict[str, str]:
    """Return the query parameters; raises Problem, 422, if one is given twice."""
    pairs = request.query_params.multi_items()
    if len(pairs) > len(dict(pairs)):
        error = FieldError(field=pairs[-1][0][:80], message="each query parameter may be given once")
        raise invalid(ProblemType.INVALID_FIELD, [error])
    return dict(pairs)


def validate(schema: type[Schema], data: Any) -> Schema:
    """Read ``data`` as ``schema``; raises Problem, 422, with the rule of each field that is wrong."""
    if not isinstance(data, dict):
        extra: Any = schema.model_config["json_schema_extra"]  # whose order of keys model_json_schema() would lose
        example = json.dumps(extra["examples"][0])
        raise Problem(ProblemType.INVALID_FIELD, f"Send a JSON object, such as {example}.")
    if len(data) > MAX_UNKNOWN:  # each field that is unknown would be an error of its own, which costs 10 µs
        unknown = data.keys() - {one.alias or name for name, one in schema.model_fields.items()}
        if len(unknown) > MAX_UNKNOWN:
            first = [_explain(schema, "extra_forbidden", (name,)) for name in sorted(unknown)[:MAX_UNKNOWN]]
            raise invalid(ProblemType.INVALID_FIELD, first)
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        errors = [_explain(schema, one["type"], one["loc"]) for one in error.errors()]
        raise invalid(ProblemType.INVALID_FIELD, errors) from None


def _explain(schema: type[BaseModel], kind: str, location: tuple[int | str, ...]) -> FieldError:
    indices = [str(one) for one in location[1:] if isinstance(one, int)]  # a str would be the tag of a union's member
    field = ".".join([str(location[0]), *indices])[:80]
    rules = {one.alias or name: one.description for name, one in schema.model_fields.items()}
    if kind == "extra_forbidden":
        return FieldError(field=field, message=f"{field} is not a field; the fields are {', '.join(rules)}")
    return FieldError(field=field, message=f"{location[0]} must be {rules[str(location[0])]}")
