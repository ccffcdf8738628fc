"""API keys: a file holds a line for each, ``name:digest``; the key itself is shown once and kept nowhere.

A key is 256 random bits, so that nobody finds it by trying and its SHA-256 gives nothing away. The slow, salted hashes
that passwords need would make each request pay for a weakness that these do not have.
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
from pathlib import Path

from service.errors import ServiceError

logger = logging.getLogger("bentoml.nelumbo.keys")

PREFIX = "nelumbo_"  # so that a scanner for secrets knows one that has leaked
NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
LINE = re.compile(r"([\w.-]{1,64}):([0-9a-f]{64})", re.ASCII)
INTERVAL = 1.0  # seconds between two looks at the file

Digests = list[tuple[str, bytes]]


class NoKeyError(ServiceError):
    """A file of keys holds none."""


def new() -> str:
    """Return a key that nobody has."""
    return PREFIX + secrets.token_urlsafe(32)


def line(name: str, key: str) -> str:
    """Return what the file holds of a key; raises ServiceError for a name that cannot stand there."""
    if not NAME.fullmatch(name):
        raise ServiceError("a key's name is 1 to 64 letters, digits, dots, dashes and underscores")
    return f"{name}:{_digest(key).hex()}"


def read(path: Path) -> Digests:
    """Return the names and digests that a file holds, two of one name where a key is being replaced.

    Raises:
        ServiceError: where it cannot be read, holds none, or a line is wrong.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError) as error:
        raise ServiceError(f"the file of keys {path} cannot be read") from error
    found = []
    for number, text in enumerate(map(str.strip, lines), 1):
        if text and not text.startswith("#"):
            if not (match := LINE.fullmatch(text)):
                raise ServiceError(f"line {number} of {path} is not one that python -m service key makes")
            found.append((match[1], bytes.fromhex(match[2])))
    if not found:
        raise NoKeyError(f"{path} holds no key; make one with python -m service key NAME >> {path}")
    return found


class Keys:
    """The keys of a file, which is followed: a line that is added or taken away counts a second later.

    A file that has become bad may be half written, and leaves the keys of before; one without a line has lost its last.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests = read(path)
        self._seen = self._changed()
        self._next_look = 0.0

    def owner(self, key: str) -> str | None:
        """Return the name of a key, or None for one that is not known; takes as long for the one as for the other."""
        self._follow()
        digest, found = _digest(key), None
        for name, known in self._digests:
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def _follow(self) -> None:
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + INTERVAL
        if (changed := self._changed()) != self._seen:
            self._seen = changed
            try:
                self._digests = read(self._path)
                logger.info("%d keys are valid now", len(self._digests))
            except NoKeyError as error:
                self._digests = []
                logger.error("No key is valid now: %s", error)
            except ServiceError as error:
                logger.error("The keys of before stay valid: %s", error)

    def _changed(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
