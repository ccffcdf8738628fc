"""The bodies and queries of requests, and a sentence for each way to get one wrong.

A field's description is its rule: it completes "must be …" in an error.
"""

import contextlib
import json
import secrets
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    Tag,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from service.engine import latents
from service.engine.library import Library, Model, UnknownModelError
from service.engine.requests import RenderRequest
from service.web.problem_types import ProblemType
from service.web.problems import FieldError, Problem, invalid

MAX_TRUNCATION = 2.0
MAX_STEPS = 64
MAX_UNKNOWN = 16  # unknown fields of a request that an error names
MAX_NUMBERS = 4096  # of a latent: no model takes more (contract.Card.latent_dim)
MAX_ITEMS = 4096  # seeds or latents of a request: NELUMBO_MAX_IMAGES can be no more
MAX_LATENT = 1000.0  # far outside of a normal distribution, and far from float32's limits


def _whole(value: Any) -> Any:
    """Return 42 for 42.0: JSON Schema takes it for an integer, too, and Python programs send it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _numbers(value: Any, validate_each: ValidatorFunctionWrapHandler) -> Any:
    """Check a latent as one array, which is five times as fast; only a wrong one is walked to its first error."""
    if isinstance(value, list) and 0 < len(value) <= MAX_NUMBERS and set(map(type, value)) <= {int, float}:
        with contextlib.suppress(OverflowError):
            if (np.abs(np.array(value, np.float64)) <= MAX_LATENT).all():
                return value
    return validate_each(value)


WHOLE = BeforeValidator(_whole)
Seed = Annotated[int, Field(ge=0, lt=latents.SEEDS), WHOLE]
Coordinate = Annotated[float, Field(ge=-MAX_LATENT, le=MAX_LATENT, allow_inf_nan=False)]
Latent = Annotated[
    list[Coordinate], Field(min_length=1, max_length=MAX_NUMBERS, fail_fast=True), WrapValidator(_numbers)
]
ModelName = Annotated[
    str | None, Field(description='a model\'s name, such as "digits", or name and version, "digits@1"')
]
Truncation = Annotated[float, Field(ge=0, le=MAX_TRUNCATION, description="a number from 0 to 2")]
FormatName = Annotated[
    str | None, Field(description='the name of a format, such as "png"; without it, the Accept header decides')
]
SEED_OR_LATENT = "a seed (an integer from 0 to 4294967295) or a latent (a list of numbers from -1000 to 1000)"
SeedOrLatent = Annotated[
    Annotated[Seed, Tag("seed")] | Annotated[Latent, Tag("latent")],
    Discriminator(lambda value: "latent" if isinstance(value, list) else "seed"),
]
SOURCES = ("seed", "seeds", "latent", "latents")


def _only(source: str) -> dict[str, JsonValue]:
    """Return the JSON schema of a body that has nothing which excludes ``source``."""
    others = {"seed", "seeds", "latent", "latents", "n"} - ({"seed", "n"} if source == "seed" else {source})
    return {"properties": {name: {"type": "null"} for name in sorted(others)}}


class GenerateRequest(BaseModel):
    """The images to draw."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {"seed": 42, "format": "png"},
                {"model": "digits@1", "seed": 0, "n": 16, "truncation": 0.7, "format": "zip"},
            ],
            "anyOf": [_only(source) for source in SOURCES],
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
    truncation: Truncation = 1.0
    format: FormatName = None


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
            ]
        },
    )

    model: ModelName = None
    start: Annotated[SeedOrLatent, Field(alias="from", description=SEED_OR_LATENT)]
    to: Annotated[SeedOrLatent, Field(description=SEED_OR_LATENT)]
    steps: Annotated[int, Field(ge=2, le=MAX_STEPS), WHOLE] = Field(16, description=f"an integer from 2 to {MAX_STEPS}")
    truncation: Truncation = 1.0
    path: Literal["slerp", "linear"] = Field("slerp", description='"slerp" (the great circle) or "linear"')
    form: Literal["animation", "strip"] = Field(
        "animation", description='"animation" or "strip", for an answer that is an image'
    )
    format: FormatName = None


class ImageQuery(BaseModel):
    """The query parameters of an image."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    truncation: Truncation = 1.0


Schema = TypeVar("Schema", bound=BaseModel)


def read_request(data: Any, max_images: int) -> GenerateRequest:
    """Validate a parsed body, except for what depends on the model; raises Problem, 422."""
    request = validate(GenerateRequest, data)
    if conflicts := _conflicts(request):
        raise invalid(ProblemType.CONFLICTING_FIELDS, conflicts)
    counts = {"n": request.n or 1, "seeds": len(request.seeds or ()), "latents": len(request.latents or ())}
    for name, count in counts.items():
        if count > max_images:
            error = FieldError(field=name, message=f"{name} must ask for at most {max_images} images")
            raise invalid(ProblemType.TOO_MANY_IMAGES, [error])
    return request


def to_render_request(request: GenerateRequest, library: Library) -> RenderRequest:
    """Turn a valid body into what to draw; raises Problem, 404 or 422."""
    model = find_model(library, request.model)
    if given := request.latents or ([request.latent] if request.latent else None):
        fields = [f"latents.{i}" for i in range(len(given))] if request.latents else ["latent"]
        check_lengths(dict(zip(fields, given, strict=True)), model)
        return RenderRequest(model, request.truncation, latents=[np.array(latent, np.float32) for latent in given])
    if request.seeds:
        return RenderRequest(model, request.truncation, seeds=request.seeds)
    first = secrets.randbelow(latents.SEEDS) if request.seed is None else request.seed
    return RenderRequest(model, request.truncation, seeds=latents.consecutive(first, request.n or 1))


def find_model(library: Library, ref: str | None) -> Model:
    """Return the model called ``ref``, or the first; raises Problem, 404, with those that there are."""
    try:
        return library.find(ref)
    except UnknownModelError as error:
        raise Problem(ProblemType.UNKNOWN_MODEL, f"Ask for a model that is served: {error}.") from error


def _conflicts(request: GenerateRequest) -> list[FieldError]:
    given = [name for name in SOURCES if getattr(request, name) is not None]
    excluded = given[1:] + (["n"] if request.n is not None and given and given[0] != "seed" else [])
    return [FieldError(field=name, message=f"{name} cannot be combined with {given[0]}") for name in excluded]


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


def validate(schema: type[Schema], data: Any) -> Schema:
    """Read ``data`` as ``schema``; raises Problem, 422, with the rule of each field that is wrong."""
    if not isinstance(data, dict):
        extra: Any = schema.model_config["json_schema_extra"]  # whose order of keys model_json_schema() would lose
        example = json.dumps(extra["examples"][0])
        raise Problem(ProblemType.INVALID_FIELD, f"Send a JSON object, such as {example}.")
    unknown = data.keys() - {one.alias or name for name, one in schema.model_fields.items()}
    if len(unknown) > MAX_UNKNOWN:  # each would be an error of its own, which costs 10 µs
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
