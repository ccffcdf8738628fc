"""Classes, truncation and directions of a request, found by name in its model; what it lacks is a problem, 422."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from service.engine import conditions
from service.engine.conditions import ConditionError, UnknownClassError, UnknownDirectionError, UnsupportedError
from service.engine.model import Model
from service.web.problem_types import ProblemType
from service.web.problems import FieldError, Problem, invalid

TYPES: dict[type[ConditionError], ProblemType] = {
    UnsupportedError: ProblemType.UNSUPPORTED_BY_MODEL,
    UnknownClassError: ProblemType.UNKNOWN_CLASS,
    UnknownDirectionError: ProblemType.UNKNOWN_DIRECTION,
}


class Conditioned(Protocol):
    """A body or query with classes, truncation and directions."""

    @property
    def truncation(self) -> float | None:
        """1 is off; None: the model's default."""

    @property
    def class_names(self) -> Sequence[str]:
        """The classes that are asked for."""

    @property
    def directions(self) -> Mapping[str, float]:
        """The amounts by the names or numbers of their directions."""


def find_conditions(model: Model, asked: Conditioned) -> dict[str, Any]:
    """Return the fields of a RenderRequest for what is asked for, if anything is; raises Problem, 422."""
    names = asked.class_names
    if not names and asked.truncation is None and not asked.directions and model.card.default_truncation == 1:
        return {}
    try:
        return conditions.find(model, names, asked.truncation, asked.directions)._asdict()
    except ConditionError as error:
        field = "classes" if error.field == "class" and getattr(asked, "classes", None) else error.field
        raise problem_of(error, field) from error


def problem_of(error: ConditionError, field: str) -> Problem:
    """Return the problem that names the field which the model cannot serve."""
    kind = TYPES.get(type(error), ProblemType.INVALID_FIELD)
    return invalid(kind, [FieldError(field=field, message=str(error))])
