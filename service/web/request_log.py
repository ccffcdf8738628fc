"""The request log: one line of JSON for each request, with its outcome and where its time went.

No line holds a secret: no address, no header, no query and no body; of the path only the route's template.
"""

import json
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import NamedTuple

from service.engine.jobs import Timing
from service.engine.requests import RenderRequest
from service.telemetry.logging import LineWriter

STDOUT = LineWriter(1)


class Drawing(NamedTuple):
    """What a request draws; its timing is complete when the answer is."""

    model: str
    images: int
    timing: Timing


_drawing: ContextVar[Drawing | None] = ContextVar("drawing", default=None)


def begin() -> None:
    """Clear what the previous request drew: uvicorn runs a pipelined request in the context of the one before it."""
    _drawing.set(None)


def set_drawing(request: RenderRequest, timing: Timing) -> None:
    """Set what this request draws."""
    _drawing.set(Drawing(request.model.ref, len(request), timing))


def write(request_id: str, method: str, route: str, status: int, seconds: float) -> None:
    """Write this request's line to stdout, in one call, so that the lines of several workers do not mix."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": request_id,
        "method": method,
        "route": route,
        "status": status,
        **_fields(_drawing.get()),
        "total_ms": _milliseconds(seconds),
    }
    STDOUT.write(json.dumps(line).encode() + b"\n")


def _fields(drawing: Drawing | None) -> dict[str, object]:
    if drawing is None:
        return {}
    timing = drawing.timing
    return {
        "model": drawing.model,
        "n": drawing.images,
        "queue_ms": _milliseconds(timing.queue),
        "infer_ms": _milliseconds(timing.infer),
        "encode_ms": _milliseconds(timing.encode),
    }


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)
