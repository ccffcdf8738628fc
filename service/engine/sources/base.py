"""What every source of models does: it lists files ``<name>/<version>/<file>``, reads them, and may take new ones."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NoReturn

from service.contract import ContractError, Refusal
from service.errors import ServiceError


class SourceError(ServiceError):
    """A source of models cannot be read or written."""


class Source(ABC):
    """A place with models.

    Besides what is said of a method, it raises SourceError or an error of its library where the place cannot be
    reached. A library is imported by the constructor: a server without sources does without it.

    Attributes:
        url: how the user names it.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    def files(self) -> Iterable[str]:
        """Yield the path ``<name>/<version>/<file>`` of every file; of others, too, which are ignored."""

    @abstractmethod
    def read(self, path: str, limit: int) -> bytes:
        """Return a file that :meth:`files` has named; raises ContractError where it is larger than ``limit`` bytes."""

    def write(self, place: str, files: Sequence[Path]) -> None:
        """Add files under ``<name>/<version>``, in their order: whoever looks meanwhile must not take half of them."""
        raise SourceError(f"{self.url} cannot be written by this command; it is a source to read")


def too_large(path: str, limit: int) -> NoReturn:
    """Raise the error for a file over the limit."""
    raise ContractError(Refusal.TOO_LARGE, f"{path} is larger than {limit} bytes")


def reason(error: Exception) -> str:
    """Return what a library says of an error, in a line."""
    lines = str(error).splitlines() or [type(error).__name__]
    return lines[0][:300]
