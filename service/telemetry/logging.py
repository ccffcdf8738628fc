"""Logs that never block: lines wait in a bounded queue, and one thread writes them to the pipe or terminal.

A pipe that nobody reads holds 64 KiB; then a write blocks. Here lines are dropped instead, and counted in
``nelumbo_dropped_log_lines_total``.
"""

import atexit
import contextlib
import logging
import os
import queue
import threading
import time

MOST_LINES = 2000  # that wait
LAST_WORDS = 1.0  # seconds at the end of the process for what still waits
MOST_A_MINUTE = 30  # records from one line of the source
MINUTE = 60.0  # seconds


class LineWriter:
    """Writes lines to a file descriptor, each in one call, so that those of several processes do not mix."""

    def __init__(self, descriptor: int, most: int = MOST_LINES) -> None:
        self._descriptor = descriptor
        self._most = most
        self._queue: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._idle = threading.Event()
        self._idle.set()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def write(self, line: bytes) -> None:
        """Queue a line, or drop it if too many wait."""
        if self._queue.qsize() >= self._most:
            _count_dropped()
            return
        self._idle.clear()
        self._queue.put(line)
        if self._thread is None:
            with self._starting:
                self._start()

    def flush(self, seconds: float = LAST_WORDS) -> bool:
        """Wait until all lines are written, or for so long; returns whether they are."""
        return self._idle.wait(seconds)

    def _start(self) -> None:
        if self._thread is None:
            atexit.register(self.flush)
            self._thread = threading.Thread(target=self._run, name="log", daemon=True)  # it may be stuck at the end
            self._thread.start()

    def _run(self) -> None:
        while True:
            line = self._queue.get()
            with contextlib.suppress(OSError):  # the disk is full, or the pipe is closed
                while line:
                    line = line[os.write(self._descriptor, line) :]
            if self._queue.empty():
                self._idle.set()
                if not self._queue.empty():  # a line came between
                    self._idle.clear()


class NonBlockingHandler(logging.Handler):
    """Writes records to stderr, at most so many a minute from one line of the source."""

    def __init__(self, descriptor: int = 2) -> None:
        super().__init__()
        self._writer = LineWriter(descriptor)
        self.addFilter(AtMost())

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record."""
        try:
            self._writer.write(self.format(record).encode(errors="backslashreplace") + b"\n")
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Wait a moment for the queue to empty."""
        self._writer.flush()


class AtMost(logging.Filter):
    """Passes at most so many records a minute from one line of the source, and then says how many it kept back."""

    def __init__(self, most: int = MOST_A_MINUTE) -> None:
        super().__init__()
        self._most = most
        self._windows: dict[tuple[str, int], tuple[float, int]] = {}  # by file and line: the start, and records since

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to write a record."""
        line, now = (record.pathname, record.lineno), time.monotonic()
        start, count = self._windows.get(line, (now, 0))
        if now - start >= MINUTE:
            if count > self._most:
                more = f"(and {count - self._most} more in the minute before)"
                record.msg, record.args = f"{record.getMessage()} {more}", ()
            start, count = now, 0
        self._windows[line] = (start, count + 1)
        return count < self._most


def _count_dropped() -> None:
    from service.telemetry.metrics import DROPPED_LINES  # whose files must not be opened as early as a log is

    DROPPED_LINES.inc()
