"""What the check of a model file found, remembered by the file's digest: in this process, and for the others."""

import functools
import json
import logging
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from service.contract import Card, ContractError, Refusal
from service.contract.card import read_card
from service.contract.refusals import BY_SLUG
from service.engine import state

logger = logging.getLogger("bentoml.nelumbo.verdicts")

PLACE = "\0"  # stands for the file in a sentence: its bytes may lie at several places
RETRY = 600.0  # seconds after which a file that took too long is tried again: the machine may have been busy


@dataclass(frozen=True)
class Verdict:
    """Whether a model file may be opened.

    Attributes:
        digest: SHA-256 of the file.
        metadata: its card, as ``metadata_props``; None where it is refused.
        exact: whether an image is the same bytes alone and in a batch.
        refused: a sentence that says why it is refused.
        kind: the slug of its :class:`Refusal`, where it is refused.
        bytes: that a batch takes, the weights apart.
        until: when it is to be tried again, by ``time.time()``; None: its bytes decide it for good.
    """

    digest: str
    metadata: dict[str, str] | None = None
    exact: bool = False
    refused: str | None = None
    kind: str | None = None
    until: float | None = None
    bytes: int = 0

    def card(self, where: str) -> Card:
        """Return the card; raises ContractError where the file is refused."""
        return read_card(self.passed(where), where)

    def passed(self, where: str) -> dict[str, str]:
        """Return the metadata of a file that may be opened; raises ContractError where it is refused."""
        if self.refused is not None or self.metadata is None:
            kind = BY_SLUG.get(self.kind or "", Refusal.NOT_CHECKED)
            raise ContractError(kind, self.refused or f"{where} was not checked")
        return self.metadata


class Verdicts:
    """The verdicts on files by digest, of one way to check them: :func:`verdicts`."""

    def __init__(self) -> None:
        self._known: dict[str, Verdict] = {}

    def find(self, digest: str) -> Verdict | None:
        """Return what is known of a file, from this process or another one of the server."""
        verdict = self._known.get(digest) or self._read(digest)
        if verdict is None or (verdict.until is not None and verdict.until < time.time()):
            return None
        self._known[digest] = verdict
        return verdict

    def add(self, verdict: Verdict) -> None:
        """Remember a verdict, for the other processes, too, where they share a directory."""
        self._known[verdict.digest] = verdict
        if (path := _path(verdict.digest)) is None:
            return
        try:
            state.write(path, json.dumps(asdict(verdict)))
        except OSError as error:
            logger.warning("Other workers check %s again: %s", verdict.digest[:12], os.strerror(error.errno or 0))

    def _read(self, digest: str) -> Verdict | None:
        path = _path(digest)
        try:
            return Verdict(**json.loads(path.read_bytes())) if path else None
        except (OSError, ValueError, TypeError):
            return None


@functools.cache
def verdicts(*way: object) -> Verdicts:
    """Return the verdicts of this process on files that are checked one way: batch size, bounds of memory and time."""
    return Verdicts()


def _path(digest: str) -> Path | None:
    folder = state.folder()
    return folder / f"verdict-{digest}" if folder and digest.isalnum() else None
