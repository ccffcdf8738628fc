"""What a request may hold, and one sentence for each way to get it wrong.

Each field's description is its rule, and completes "must be …" in an error.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, JsonValue, Tag, ValidationError

from service.engine import latents
from service.engine.library import Library, Model, UnknownModelError
from service.formats.registry import Picture
from service.web.problems import FieldError, Problem

MAX_TRUNCATION = 2.0
MAX_STEPS = 64
MAX_LATENT = 1000.0  # far out for a normal distribution, and far from where float32 ends


def _whole(value: Any) -> Any:
    """Take 42.0 for 42, as JSON Schema does, and Python programs write it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
Seed = Annotated[int, Field(ge=0, lt=latents.SEEDS), WHOLE]
Coordinate = Annotated[float, Field(ge=-MAX_LATENT, le=MAX_LATENT, allow_inf_nan=False)]
Latent = Annotated[list[Coordinate], Field(min_length=1, fail_fast=True)]
ModelName = Annotated[
    str | None, Field(description='a model\'s name, such as "digits", or name and version, "digits@1"')
]
Truncation = Annotated[float, Field(ge=0, le=MAX_TRUNCATION, description="a number from 0 to 2")]
SEED_OR_LATENT = "a seed (an integer from 0 to 4294967295) or a latent (a list of numbers from -1000 to 1000)"
SeedOrLatent = Annotated[
    Annotated[Seed, Tag("seed")] | Annotated[Latent, Tag("latent")],
    Discriminator(lambda value: "latent" if isinstance(value, list) else "seed"),
]


SOURCES = ("seed", "seeds", "latent", "latents")


def _only(source: str) -> dict[str, JsonValue]:
    """Return the JSON schema of a body in which nothing is given that ``source`` cannot stand beside."""
    others = {"seed", "seeds", "latent", "latents", "n"} - ({"seed", "n"} if source == "seed" else {source})
    return {"properties": {name: {"type": "null"} for name in sorted(others)}}


class GenerateRequest(BaseModel):
    """What to draw."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [{"seed": 42}, {"model": "digits@1", "seed": 0, "n": 16, "truncation": 0.7}],
            "anyOf": [_only(source) for source in SOURCES],
        },
    )

    model: ModelName = None
    seed: Seed | None = Field(None, description="an integer from 0 to 4294967295")
    seeds: Annotated[list[Seed], Field(min_length=1, fail_fast=True)] | None = Field(
        None, description="a list of integers from 0 to 4294967295"
    )
    latent: Latent | None = Field(None, description="a list of numbers from -1000 to 1000")
    latents: Annotated[list[Latent], Field(min_length=1, fail_fast=True)] | None = Field(
        None, description="a list of latents, each a list of numbers from -1000 to 1000"
    )
    n: Annotated[int, Field(ge=1), WHOLE] | None = Field(None, description="an integer from 1 on")
    truncation: Truncation = 1.0


class InterpolateRequest(BaseModel):
    """Between which two latents to walk, and how."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        json_schema_extra={"examples": [{"from": 1, "to": 2}, {"from": 1, "to": 2, "steps": 8, "form": "strip"}]},
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


class ImageQuery(BaseModel):
    """What may stand behind the ``?`` of an image."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    truncation: Truncation = 1.0


Schema = TypeVar("Schema", bound=BaseModel)


def read_request(data: Any, max_images: int) -> GenerateRequest:
    """Validate a parsed body, all but what depends on the model; raises Problem, 422."""
    request = validate(GenerateRequest, data)
    if problems := _conflicts(request, max_images):
        raise invalid(problems)
    return request


def to_picture(request: GenerateRequest, library: Library) -> Picture:
    """Turn a valid request into what to draw; raises Problem, 404 or 422."""
    model = find_model(library, request.model)
    if given := request.latents or ([request.latent] if request.latent else None):
        fields = [f"latents.{i}" for i in range(len(given))] if request.latents else ["latent"]
        check_lengths(dict(zip(fields, given, strict=True)), model)
        return Picture(model, request.truncation, latents=[np.array(latent, np.float32) for latent in given])
    if request.seeds:
        return Picture(model, request.truncation, seeds=request.seeds)
    first = secrets.randbelow(latents.SEEDS) if request.seed is None else request.seed
    return Picture(model, request.truncation, seeds=latents.consecutive(first, request.n or 1))


def find_model(library: Library, ref: str | None) -> Model:
    """Return the model called ``ref``, or the first; raises Problem, 404, with those that there are."""
    try:
        return library.find(ref)
    except UnknownModelError as error:
        raise Problem(HTTPStatus.NOT_FOUND, f"Ask for a model that is served: {error}.") from error


def _conflicts(request: GenerateRequest, max_images: int) -> list[FieldError]:
    given = [name for name in SOURCES if getattr(request, name) is not None]
    problems = [FieldError(field=name, message=f"{name} must not stand beside {given[0]}") for name in given[1:]]
    if request.n is not None and given and given[0] != "seed":
        problems.append(FieldError(field="n", message=f"n must not stand beside {given[0]}"))
    counts = {"n": request.n or 1, "seeds": len(request.seeds or ()), "latents": len(request.latents or ())}
    for name, count in counts.items():
        if count > max_images:
            problems.append(FieldError(field=name, message=f"{name} must ask for at most {max_images} images"))
    return problems


def check_lengths(given: Mapping[str, Sequence[float]], model: Model) -> None:
    """Refuse latents, by the fields that they stand in, that are not of the model's length; raises Problem, 422."""
    size = model.card.latent_dim
    problems = [
        FieldError(
            field=field,
            message=f"{field.partition('.')[0]} must have the {size} numbers that {model.ref} takes, not {len(latent)}",
        )
        for field, latent in given.items()
        if len(latent) != size
    ]
    if problems:
        raise invalid(problems)


def validate(schema: type[Schema], data: Any) -> Schema:
    """Read ``data`` as ``schema``, each of whose fields says its rule; raises Problem, 422."""
    if not isinstance(data, dict):
        example = json.dumps(schema.model_json_schema()["examples"][0])
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"Send a JSON object, such as {example}.")
    try:
        return schema.model_validate(data)
    except ValidationError as error:
        raise invalid([_explain(schema, one["type"], one["loc"]) for one in error.errors()]) from None


def _explain(schema: type[BaseModel], kind: str, location: tuple[int | str, ...]) -> FieldError:
    within = [str(one) for one in location[1:] if isinstance(one, int)]  # a name would be that of a kind of value
    field = ".".join([str(location[0]), *within])[:80]
    rules = {one.alias or name: one.description for name, one in schema.model_fields.items()}
    if kind == "extra_forbidden":
        return FieldError(field=field, message=f"{field} is not a field; the fields are {', '.join(rules)}")
    return FieldError(field=field, message=f"{location[0]} must be {rules[str(location[0])]}")


def invalid(errors: Sequence[FieldError]) -> Problem:
    """Return the 422 that tells what is wrong with each field."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, f"{errors[0]['message']}.", errors=errors[:100])
