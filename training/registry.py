"""A registry: the one table that a new objective, network, augmentation or metric is added to.

Validation of recipes, help texts and the tables of docs/ all read the same table.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NoReturn, TypeVar

from training.errors import InputError

Entry = TypeVar("Entry", bound=Callable[..., Any])


class Registry(dict[str, Entry]):
    """Functions by name. The first line of each docstring is its description."""

    def __init__(self, kind: str, entries: Mapping[str, Entry]) -> None:
        super().__init__(entries)
        self.kind = kind  # in the plural, for error messages: "objectives"

    def __missing__(self, name: str) -> NoReturn:
        """Raise InputError that lists the known names."""
        raise InputError(self.unknown(name))

    def unknown(self, name: str) -> str:
        """Return the error message for a name that is not registered."""
        return f"{name!r} is not one of the {self.kind}: {', '.join(self)}"

    def description(self, name: str) -> str:
        """Return the first line of an entry's docstring."""
        return (inspect.getdoc(self[name]) or "").partition("\n")[0]
