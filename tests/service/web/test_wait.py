import asyncio
import threading
import time
from concurrent.futures import Future

import pytest
from starlette.types import Message

from service.engine.jobs import DeadlinePassedError
from service.web import wait
from service.web.body import ClientGoneError


async def stays() -> Message:
    await asyncio.Event().wait()
    raise AssertionError("the wait above has no end")


async def leaves() -> Message:
    return {"type": "http.disconnect"}


@pytest.mark.parametrize("after", [0.0, 0.02, wait.UNWATCHED + 0.1])
def test_a_result_from_another_thread_is_returned_before_and_after_the_watch_starts(after: float) -> None:
    drawn: Future[bytes] = Future()
    thread = threading.Timer(after, drawn.set_result, [b"png"])
    thread.start()
    assert asyncio.run(wait.wait_for_result(drawn, stays, 10)) == b"png"
    thread.join()


def test_what_was_drawn_before_anybody_waited_is_returned() -> None:
    drawn: Future[bytes] = Future()
    drawn.set_result(b"png")
    assert asyncio.run(wait.wait_for_result(drawn, stays, 10)) == b"png"


@pytest.mark.parametrize("after", [0.02, wait.UNWATCHED + 0.1])
def test_why_it_could_not_be_drawn_is_raised(after: float) -> None:
    drawn: Future[bytes] = Future()
    threading.Timer(after, drawn.set_exception, [ValueError("no")]).start()
    with pytest.raises(ValueError, match="no"):
        asyncio.run(wait.wait_for_result(drawn, stays, 10))


@pytest.mark.parametrize("deadline", [0.02, wait.UNWATCHED + 0.1])
def test_a_result_after_the_deadline_is_cancelled(deadline: float) -> None:
    drawn: Future[bytes] = Future()
    started = time.monotonic()
    with pytest.raises(DeadlinePassedError):
        asyncio.run(wait.wait_for_result(drawn, stays, deadline))
    assert drawn.cancelled()
    assert deadline <= time.monotonic() - started < 5


def test_a_result_is_cancelled_when_the_client_disconnects() -> None:
    drawn: Future[bytes] = Future()
    started = time.monotonic()
    with pytest.raises(ClientGoneError):
        asyncio.run(wait.wait_for_result(drawn, leaves, 10))
    assert drawn.cancelled()
    assert time.monotonic() - started < 5
