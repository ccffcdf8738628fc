"""A thread for work that takes long, and a bound on what waits for it."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress

from service.engine.jobs import QueueFullError

Work = Callable[[Callable[[], bool]], bytes]


class BoundedThread:
    """A thread that does one piece of work after the other; at most ``most`` wait or run."""

    def __init__(self, most: int, name: str = "work") -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._free = threading.Semaphore(most)

    def submit(self, work: Work) -> "Future[bytes]":
        """Return the future of what ``work`` returns; it is called with what says whether nobody waits any more.

        Raises:
            QueueFullError: too much work waits.
        """
        if not self._free.acquire(blocking=False):
            raise QueueFullError
        result: Future[bytes] = Future()
        self._thread.submit(self._run, work, result)
        return result

    def _run(self, work: Work, result: "Future[bytes]") -> None:
        try:
            if not result.cancelled():
                content = work(result.cancelled)
                with suppress(InvalidStateError):  # cancelled meanwhile
                    result.set_result(content)
        except Exception as error:
            with suppress(InvalidStateError):
                result.set_exception(error)
        finally:
            self._free.release()
