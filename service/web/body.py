"""What a body may be before anybody looks into it: short, JSON, and unambiguous."""

import json
from typing import Any, NoReturn

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive

from service.web.problem_types import ProblemType
from service.web.problems import Problem

# To a client that has gone: nginx's number for it. BentoML waits for its whole timeout for a request without an answer.
NOBODY = Response(status_code=499)


class ClientGoneError(Exception):
    """The client has closed the connection: nobody is there to be answered."""


async def read_body(headers: Headers, receive: Receive, limit: int) -> bytes:
    """Read a whole body of at most ``limit`` bytes.

    Raises:
        Problem: 413, as soon as the body is known to be longer, announced or not.
        ClientGoneError: when it does not come to its end.
    """
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limit:
        raise _too_long(limit)
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_long(limit)
        more = message.get("more_body", False)
    return body


def parse_json(headers: Headers, body: bytes) -> Any:
    """Parse a body as strict JSON (RFC 8259): no NaN, no key twice; an empty body is ``{}``.

    Raises:
        Problem: 415 when it is said to be something else, 400 when it is not JSON.
    """
    if not body:
        return {}
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" or headers.get("content-encoding", "identity").lower() != "identity":
        detail = "Send the body as JSON, uncompressed, with the header Content-Type: application/json (curl: --json)."
        raise Problem(ProblemType.UNSUPPORTED_MEDIA_TYPE, detail, headers={"Accept": "application/json"})
    try:
        data = STRICT.decode(_text(body))
        if b"\\u" in body:
            json.dumps(data, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise Problem(ProblemType.INVALID_JSON, f"Send valid JSON: {_reason(error)}.") from error
    return data


def _too_long(limit: int) -> Problem:
    return Problem(ProblemType.BODY_TOO_LARGE, f"Send a body of at most {limit} bytes.")


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    return "a number is too long" if "integer string conversion" in str(error) else str(error)


def _text(body: bytes) -> str:
    text = body.decode()
    if text.startswith("\ufeff"):
        raise ValueError("it must not start with a byte order mark (BOM)")
    return text


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


STRICT = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_no_key_twice)
