"""One line of JSON a request, for who runs the service: what was asked for, how it ended, where its time went.

Nothing in it is a secret: no address, no header, no query and no body; of the path only the route's template.
"""

import contextlib
import json
import os
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime

from service.engine.batcher import Timing
from service.formats.registry import Picture


@dataclass(frozen=True)
class Drawing:
    """What a request draws; its timing is complete when it is answered."""

    model: str
    images: int
    timing: Timing


_drawing: ContextVar[Drawing | None] = ContextVar("drawing", default=None)


def begin() -> None:
    """Forget what another request drew: uvicorn runs a pipelined one in the context of that before it."""
    _drawing.set(None)


def note(picture: Picture, timing: Timing) -> None:
    """Note what this request draws."""
    _drawing.set(Drawing(picture.model.ref, len(picture), timing))


def write(request_id: str, method: str, route: str, status: int, seconds: float) -> None:
    """Write this request's line to stdout: in one call, so that the lines of several workers do not mix."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request_id": request_id,
        "method": method,
        "route": route,
        "status": status,
        **_drawn(_drawing.get()),
        "total_ms": _milliseconds(seconds),
    }
    with contextlib.suppress(OSError):  # the disk is full, or the pipe has no reader
        os.write(sys.stdout.fileno(), json.dumps(line).encode() + b"\n")


def _drawn(drawing: Drawing | None) -> dict[str, object]:
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
