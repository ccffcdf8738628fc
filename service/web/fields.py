"""The fields of requests: their types, bounds and rules.

A field's description is its rule: it completes "must be …" in an error.
"""

import contextlib
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Discriminator, Field, Tag, ValidatorFunctionWrapHandler, WrapValidator

from service.contract.inputs import MAX_AMOUNT, MAX_DIRECTIONS, MAX_LATENT, MAX_NAME, MAX_TRUNCATION
from service.engine import latents

MAX_STEPS = 64
MAX_POINTS = 8
MAX_SECONDS = 60.0
MAX_SCALE = 8
MAX_NUMBERS = 4096  # of a latent: no model takes more (contract.Card.latent_dim)
MAX_ITEMS = 4096  # seeds or latents of a request: NELUMBO_MAX_IMAGES can be no more


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
FormatName = Annotated[
    str | None, Field(description='the name of a format, such as "png"; without it, the Accept header decides')
]
SEED_OR_LATENT = "a seed (an integer from 0 to 4294967295) or a latent (a list of numbers from -1000 to 1000)"
SeedOrLatent = Annotated[
    Annotated[Seed, Tag("seed")] | Annotated[Latent, Tag("latent")],
    Discriminator(lambda value: "latent" if isinstance(value, list) else "seed"),
]

Name = Annotated[str, Field(min_length=1, max_length=4 * MAX_NAME)]  # as many as MAX_NAME in the form NFC
ClassName = Annotated[
    Name | None, Field(description='the name of a class, such as "7"; without one, each seed draws its class')
]
Truncation = Annotated[
    Annotated[float, Field(ge=0, le=MAX_TRUNCATION)] | None,
    Field(description="a number from 0 to 2, where the model has truncation; 1 is off; without one, the model's own"),
]
Amount = Annotated[float, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT, allow_inf_nan=False)]
Amounts = Annotated[
    dict[Name, Amount],
    Field(
        max_length=MAX_DIRECTIONS,
        description='an object of names or numbers of directions, each with a number from -100 to 100: {"0": 1.5}',
    ),
]
# No {}: pydantic copies such a default for each request, with copy.deepcopy.
NO_AMOUNTS: Any = Field(default_factory=dict, json_schema_extra={"default": {}})
Scale = Annotated[
    int, Field(ge=1, le=MAX_SCALE, description=f"an integer from 1 to {MAX_SCALE}: how many times as wide"), WHOLE
]
Resample = Annotated[
    Literal["pixels", "lanczos"] | None,
    Field(description='"pixels" or "lanczos"; without it, an image of less than 64 pixels keeps its pixels'),
]
