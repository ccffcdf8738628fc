"""Waiting for a picture: until it is drawn, its client has gone, or its deadline has passed."""

import asyncio
from concurrent.futures import Future

from starlette.types import Receive

from service.engine.batcher import DeadlinePassedError
from service.web.body import ClientGoneError

# Seconds before anybody looks whether the client is still there. The task that looks costs 15 µs, as much as all else
# of the waiting, and what is drawn sooner than this would be drawn anyway.
UNWATCHED = 0.1


async def first(drawn: "Future[bytes]", receive: Receive, deadline: float) -> bytes:
    """Return what is drawn, unless the client's going or the deadline comes first: then it is given up.

    Raises:
        ClientGoneError: nobody is there any more.
        DeadlinePassedError: ``deadline`` seconds have passed.
    """
    try:
        await _unwatched(drawn, min(deadline, UNWATCHED))
        return drawn.result() if drawn.done() else await _watched(drawn, receive, deadline - UNWATCHED)
    finally:
        drawn.cancel()


async def _unwatched(drawn: "Future[bytes]", seconds: float) -> None:
    """Wait with one callback from the drawing thread: half of what ``asyncio.wrap_future`` and ``wait`` cost."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    timer = loop.call_later(seconds, _end, over)
    drawn.add_done_callback(lambda _: loop.call_soon_threadsafe(_end, over))
    try:
        await over
    finally:
        timer.cancel()


def _end(over: "asyncio.Future[None]") -> None:
    if not over.done():
        over.set_result(None)


async def _watched(drawn: "Future[bytes]", receive: Receive, seconds: float) -> bytes:
    result, gone = asyncio.wrap_future(drawn), asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((result, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if result.done():
            return result.result()
        raise ClientGoneError if gone.done() else DeadlinePassedError
    finally:
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
