"""API keys: a file with a line for each, ``name:digest``; the key itself is shown once and not stored.

A key is 256 random bits, so that it cannot be guessed, not from its SHA-256 either. It needs no slow, salted hash:
those are for passwords, and would be computed in every request.
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

PREFIX = "nelumbo_"  # by which secret scanners recognise a leaked key
NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)
LINE = re.compile(r"([\w.-]{1,64}):([0-9a-f]{64})", re.ASCII)
INTERVAL = 1.0  # seconds between two checks of the file

Digests = list[tuple[str, bytes]]


class NoKeyError(ServiceError):
    """A file of keys has no key."""


def new() -> str:
    """Return a new key."""
    return PREFIX + secrets.token_urlsafe(32)


def line(name: str, key: str) -> str:
    """Return the file's line for a key; raises ServiceError for an invalid name."""
    if not NAME.fullmatch(name):
        raise ServiceError("a key's name is 1 to 64 letters, digits, dots, dashes and underscores")
    return f"{name}:{_digest(key).hex()}"


def read(path: Path) -> Digests:
    """Return the names and digests in a file; a name may be there twice, while one key replaces another.

    Raises:
        ServiceError: when the file cannot be read, has no key, or has a wrong line.
    """
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError) as error:
        raise ServiceError(f"the file of keys {path} cannot be read") from error
    found = []
    for number, text in enumerate(map(str.strip, lines), 1):
        if text and not text.startswith("#"):
            if not (match := LINE.fullmatch(text)):
                raise ServiceError(f"line {number} of {path} is no line of python -m service key")
            found.append((match[1], bytes.fromhex(match[2])))
    if not found:
        raise NoKeyError(f"{path} has no key; make one with python -m service key NAME >> {path}")
    return found


class Keys:
    """The keys of a file, which is read again when it changes: an added or removed line takes effect a second later.

    A file with a wrong line may be half written: the previous keys stay valid. In an empty file no key is valid.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._digests = read(path)
        self._modified = self._modification_time()
        self._next_check = 0.0

    def owner(self, key: str) -> str | None:
        """Return the name of a key, or None for an unknown one, in constant time."""
        self._read_if_changed()
        digest, found = _digest(key), None
        for name, known in self._digests:
            if hmac.compare_digest(known, digest):
                found = name
        return found

    def _read_if_changed(self) -> None:
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + INTERVAL
        if (changed := self._modification_time()) != self._modified:
            self._modified = changed
            try:
                self._digests = read(self._path)
                logger.info("%d keys are valid now", len(self._digests))
            except NoKeyError as error:
                self._digests = []
                logger.error("No key is valid now: %s", error)
            except ServiceError as error:
                logger.error("The previous keys stay valid: %s", error)

    def _modification_time(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
