"""The inputs of a graph, and what they may be: the latent, and in schema 2 class, truncation and directions.

A card that has ``classes``, ``truncation`` or ``directions`` promises the input of that kind, in this order.
"""

import unicodedata
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

INPUT, LABEL, TRUNCATION, DIRECTIONS = "latent", "label", "truncation", "directions"
MAX_CLASSES = 1000
MAX_NAME = 64  # characters of the name of a class or a direction
MAX_DIRECTIONS = 16
MAX_LATENT = 1000.0  # of a number of a latent: far outside of a normal distribution, and far from float32's limits
MAX_TRUNCATION = 2.0
MAX_AMOUNT = 100.0  # along a direction: far outside of any useful range


class Input(NamedTuple):
    """An input of the graph: (N, *row) of a NumPy type."""

    dtype: str
    row: tuple[int, ...] = ()


def normalised(name: str) -> str:
    """Return a name in Unicode's form NFC: what people type, and what macOS makes of a folder's name, is then one."""
    return unicodedata.normalize("NFC", name)


def _printable(name: str) -> str:
    if not name.isprintable() or name != name.strip():
        raise ValueError("a name must be printable, with no space at its ends")
    return name


def _each_once(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)} is there twice")


Name = Annotated[str, AfterValidator(normalised), Field(min_length=1, max_length=MAX_NAME), AfterValidator(_printable)]


class Direction(BaseModel):
    """A direction along which images change: an amount of 1 is a clear step, 0 none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Name = Field(description="what clients call it; digits alone are its own number")
    range: float = Field(
        gt=0, le=MAX_AMOUNT, allow_inf_nan=False, description="amounts from -range to range give useful images"
    )


def _check_classes(classes: tuple[str, ...]) -> tuple[str, ...]:
    if len(classes) == 1:
        raise ValueError("one class is no choice; leave it out")
    _each_once(classes)
    return classes


def _check_directions(directions: tuple[Direction, ...]) -> tuple[Direction, ...]:
    _each_once([one.name for one in directions])
    for number, one in enumerate(directions):
        if one.name.isdecimal() and one.name != str(number):  # a client could mean either
            raise ValueError(f"direction {number} cannot be named {one.name}")
    return directions


Classes = Annotated[tuple[Name, ...], Field(max_length=MAX_CLASSES), AfterValidator(_check_classes)]
Directions = Annotated[tuple[Direction, ...], Field(max_length=MAX_DIRECTIONS), AfterValidator(_check_directions)]
