"""Waits for the result of a request, until the client disconnects or the deadline passes."""

import asyncio
from concurrent.futures import Future

from starlette.types import Receive

from service.engine.jobs import DeadlinePassedError
from service.web.body import ClientGoneError

# Seconds before a task watches for a disconnect. The task costs 15 µs, as much as the rest of the wait, and a request
# that takes less than this would be drawn anyway.
UNWATCHED = 0.1


async def wait_for_result(result: "Future[bytes]", receive: Receive, deadline: float) -> bytes:
    """Return the result, or cancel it if the client disconnects or the deadline passes first.

    Raises:
        ClientGoneError: when the client closed the connection.
        DeadlinePassedError: after ``deadline`` seconds.
    """
    try:
        await _wait_unwatched(result, min(deadline, UNWATCHED))
        return result.result() if result.done() else await _wait_watched(result, receive, deadline - UNWATCHED)
    except BaseException:  # asyncio.CancelledError among others
        result.cancel()
        raise


async def _wait_unwatched(result: "Future[bytes]", seconds: float) -> None:
    """Wait with one callback from the drawing thread, at half the cost of ``asyncio.wrap_future`` and ``wait``."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    timer = loop.call_later(seconds, _end, over)
    result.add_done_callback(lambda _: loop.call_soon_threadsafe(_end, over))
    try:
        await over
    finally:
        timer.cancel()


def _end(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)


async def _wait_watched(result: "Future[bytes]", receive: Receive, seconds: float) -> bytes:
    wrapped, gone = asyncio.wrap_future(result), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((wrapped, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if wrapped.done():
            return wrapped.result()
        raise ClientGoneError if gone.done() else DeadlinePassedError
    finally:
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
