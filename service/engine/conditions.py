"""What a client asks of a model besides a latent, by name: classes, truncation, directions."""

import functools
import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from service.contract import Card
from service.contract.inputs import MAX_AMOUNT, MAX_TRUNCATION, normalised
from service.engine.model import Model

NEAREST = 5  # names that an error lists


class ConditionError(ValueError):
    """What is asked for is not what the model has; the message is a sentence.

    Attributes:
        field: what was asked for: ``class``, ``truncation`` or ``directions``.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class UnsupportedError(ConditionError):
    """The model has no such input."""


class UnknownClassError(ConditionError):
    """The model has no class of this name."""


class UnknownDirectionError(ConditionError):
    """The model has no direction of this name or number."""


class Conditions(NamedTuple):
    """What the images of a request are drawn with, as fields of a RenderRequest."""

    labels: Sequence[int] = ()
    truncation: float = 1.0
    directions: Sequence[float] = ()


def find(
    model: Model,
    classes: Sequence[str] = (),
    truncation: float | None = None,
    directions: Mapping[str, float] | None = None,
) -> Conditions:
    """Return what a client asks for by name; raises ConditionError.

    Args:
        model: that draws.
        classes: one for all images or one for each; none: the seed draws it.
        truncation: 1 is off; None: the model's default.
        directions: amounts by name or number; 0 is off.
    """
    if truncation is None:
        truncation = model.card.default_truncation
    if not 0 <= truncation <= MAX_TRUNCATION:
        raise ConditionError("truncation", f"truncation must be from 0 to {MAX_TRUNCATION:g}, not {truncation}")
    if truncation != 1 and not model.card.truncation:
        reason = f"{model.ref} has no centre to truncate towards; leave truncation out, or 1"
        raise UnsupportedError("truncation", reason)
    return Conditions(_labels(model, classes), truncation, _amounts(model, directions or {}))


def numbered(
    model: Model,
    count: int,
    labels: Sequence[int] | None = None,
    truncation: float | None = None,
    directions: Sequence[float] | None = None,
) -> Conditions:
    """Return what a client asks for by number, for ``count`` images; raises ConditionError."""
    card = model.card
    if labels:
        if not card.classes:
            raise UnsupportedError("labels", f"{model.ref} has no classes; leave labels out")
        if len(labels) != count:
            raise ConditionError("labels", f"labels must be {count} numbers, as many as there are latents")
        if not 0 <= min(labels) <= max(labels) < len(card.classes):
            raise UnknownClassError("labels", f"labels of {model.ref} must be from 0 to {len(card.classes) - 1}")
    named = {f"{number}": amount for number, amount in enumerate(directions or ())}
    return find(model, (), truncation, named)._replace(labels=labels or ())


def _labels(model: Model, classes: Iterable[str]) -> list[int]:
    known = model.card.classes
    if classes and not known:
        raise UnsupportedError("class", f"{model.ref} has no classes; leave class out")
    return [_label(model, name) for name in classes]


def _label(model: Model, name: str) -> int:
    try:
        return model.card.classes.index(normalised(name))
    except ValueError:
        names = ", ".join(nearest(name, model.card.classes))
        raise UnknownClassError("class", f"{model.ref} has no class {name}; the nearest are {names}") from None


def _amounts(model: Model, directions: Mapping[str, float]) -> list[float]:
    card = model.card
    if directions and not card.directions:
        raise UnsupportedError("directions", f"{model.ref} has no directions; leave directions out")
    amounts = [0.0] * len(card.directions)
    for name, amount in directions.items():
        if not -MAX_AMOUNT <= amount <= MAX_AMOUNT:
            raise ConditionError("directions", f"an amount must be from {-MAX_AMOUNT:g} to {MAX_AMOUNT:g}")
        amounts[_number(model, name)] = amount
    return amounts if any(amounts) else []


def _number(model: Model, name: str) -> int:
    names = [one.name for one in model.card.directions]
    if normalised(name) in names:
        return names.index(normalised(name))
    if name.isascii() and name.isdecimal() and len(name) < 3 and int(name) < len(names):
        return int(name)
    raise UnknownDirectionError(
        "directions", f"{model.ref} has no direction {name}; it has {', '.join(nearest(name, names, len(names)))}"
    )


def described(card: Card, directions: Sequence[float]) -> dict[str, float]:
    """Return the amounts that are not 0, by the names of their directions."""
    return {one.name: amount for one, amount in zip(card.directions, directions, strict=False) if amount}


def nearest(name: str, known: Sequence[str], count: int = NEAREST) -> list[str]:
    """Return the known names that share most pairs of letters with a name; of equals the first.

    ``difflib`` takes up to 0.3 s for a thousand names of 64 characters, while no other request is answered, and their
    pairs of letters 5 ms, so that these are kept.
    """
    found = _by_pair(tuple(known))
    shared = Counter(number for pair in _pairs(name) for number in found.get(pair, ()))
    order = heapq.nsmallest(count, range(len(known)), key=lambda number: -shared[number] / (len(known[number]) + 1))
    return [known[number] for number in order]


@functools.lru_cache(maxsize=16)
def _by_pair(known: tuple[str, ...]) -> dict[str, list[int]]:
    """Return the numbers of the names that have a pair of letters, for each pair."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(known):
        for pair in _pairs(name):
            found.setdefault(pair, []).append(number)
    return found


def _pairs(name: str) -> set[str]:
    text = f" {name.casefold()} "
    return {text[i : i + 2] for i in range(len(text) - 1)}
