"""Bounds on a request before it is routed or validated, and the parser of JSON bodies.

No request may cost the event loop over 20 ms, or 2 ms a kilobyte (``benchmarks/request_cost.py`` measures it): the
bounds limit what is parsed there, and a large body is parsed on a thread.
"""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from pydantic_core import from_json
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope

from service.web.problem_types import ProblemType
from service.web.problems import Problem, unavailable

MAX_PATH = 1024  # bytes, percent-encoded
MAX_QUERY = 2048  # bytes, percent-encoded
MAX_PARAMETERS = 24  # in the query string; GET /images takes 20
# Most of each byte in a body. Valid bodies hold a handful of objects, and one list a latent, of which 4096 can be asked
# for at once. Counting bytes takes 0.02 ms for 256 KiB; making a Python object of each would take 25 ms.
LARGE = 2**13  # bytes of a body, or numbers to compute, from which on the event loop leaves the work to a thread
MOST = {b"{": (64, "objects"), b"[": (4200, "lists"), b'"': (2048, "strings"), b":": (2048, "colons")}

SIMPLE = min(most for most, _ in MOST.values())  # bytes, which cannot hold too many of any

CONTAINERS = frozenset({dict, list})

# For a client that has disconnected, which is nginx's code. BentoML waits for its whole timeout for a missing answer.
NOBODY = Response(status_code=499)


# One thread, so that the event loop competes with no more than one for the GIL.
_thread = ThreadPoolExecutor(1, thread_name_prefix="parse")
Result = TypeVar("Result")


class ClientGoneError(Exception):
    """The client has closed the connection."""


def check_target(scope: Scope) -> None:
    """Refuse a path or query string that is longer than any route needs; raises Problem, 414."""
    query = scope["query_string"]
    if len(scope.get("raw_path") or scope["path"].encode()) > MAX_PATH or len(query) > MAX_QUERY:
        detail = f"Send a path of at most {MAX_PATH} bytes and a query string of at most {MAX_QUERY}."
        raise Problem(ProblemType.URI_TOO_LONG, detail)
    if query.count(b"&") >= MAX_PARAMETERS:
        raise Problem(ProblemType.URI_TOO_LONG, f"Send at most {MAX_PARAMETERS} query parameters.")


class Budget:
    """The bytes that bodies, of all requests together, may hold while they are received and waited for."""

    def __init__(self, most: int) -> None:
        self._left = most

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """Return a block, and what takes bytes for it, to be called as they come; it raises Problem, 503."""
        taken = 0

        def take(count: int) -> None:
            nonlocal taken
            if count > self._left:
                raise unavailable(
                    ProblemType.QUEUE_FULL, "Too many large bodies are being sent; ask again in a second."
                )
            self._left -= count
            taken += count

        try:
            yield take
        finally:
            self._left += taken


async def read_body(
    headers: Headers, receive: Receive, limit: int, take: Callable[[int], None] = lambda count: None
) -> bytes:
    """Read a whole body of at most ``limit`` bytes; ``take`` is told of each part, and may refuse it.

    Raises:
        Problem: 413, as soon as the body is known to be longer, announced or not.
        ClientGoneError: when the client disconnects before its end.
    """
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced[:20]) > limit:
        raise _too_long(limit)
    body = bytearray()
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        if len(body) + len(part) > limit:
            raise _too_long(limit)
        take(len(part))
        body += part
        more = message.get("more_body", False)
    return bytes(body)


async def run_by_size(size: int, work: Callable[..., Result], *arguments: Any) -> Result:
    """Return ``work(*arguments)``, computed on a thread if ``size``, as :data:`LARGE` counts it, is large."""
    if size < LARGE:
        return work(*arguments)
    return await asyncio.get_running_loop().run_in_executor(_thread, work, *arguments)


def parse_json(headers: Headers, body: bytes) -> Any:
    """Parse a body as strict JSON (RFC 8259): no NaN, no key twice; an empty body is ``{}``.

    Raises:
        Problem: 415 for another content type or encoding, 400 for what is not JSON, 422 for more objects, lists or
            strings than any valid body has.
    """
    if not body:
        return {}
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" or headers.get("content-encoding", "identity").lower() != "identity":
        detail = "Send the body as JSON, uncompressed, with the header Content-Type: application/json (curl: --json)."
        raise Problem(ProblemType.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept": "application/json"})
    if len(body) > SIMPLE:
        _check_structure(body)
    try:
        data = from_json(body.decode(), allow_inf_nan=False)
    except UnicodeDecodeError as error:
        raise _invalid("it is not UTF-8 text") from error
    except ValueError as error:
        raise _invalid(str(error)) from error
    if _has_key_twice(body, data):
        raise _invalid("a key occurs twice in an object")
    return data


def _check_structure(body: bytes) -> None:
    for byte, (most, what) in MOST.items():
        if (body.count(byte) + 1) // (2 if byte == b'"' else 1) > most:
            raise Problem(ProblemType.BODY_TOO_COMPLEX, f"Send a body with at most {most} {what}.")


def _has_key_twice(body: bytes, data: Any) -> bool:
    """Return whether an object in valid JSON has a key twice, of which ``data`` holds the last only."""
    if isinstance(data, dict) and body.count(b":") == len(data):  # as in most bodies: one for each key, and no other
        return False
    return _colons(body) > _keys(data)


def _colons(body: bytes) -> int:
    """Return the number of colons outside strings in valid JSON: one for each key."""
    return b"".join(body.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')[::2]).count(b":")


def _keys(data: Any) -> int:
    """Return the number of keys of all objects in ``data``."""
    if isinstance(data, dict):
        return len(data) + sum(map(_keys, data.values()))
    if isinstance(data, list) and not CONTAINERS.isdisjoint(map(type, data)):  # numbers are passed over quickly
        return sum(_keys(one) for one in data if type(one) in CONTAINERS)
    return 0


def _too_long(limit: int) -> Problem:
    return Problem(ProblemType.BODY_TOO_LARGE, f"Send a body of at most {limit} bytes.")


def _invalid(reason: str) -> Problem:
    return Problem(ProblemType.INVALID_JSON, f"Send valid JSON: {reason}.")
