import logging
import os
from collections.abc import Iterator

import pytest

from service.telemetry import metrics
from service.telemetry.logging import MINUTE, AtMost, LineWriter, NonBlockingHandler
from tests.e2e.server import counted

SOON = 60.0  # seconds until what does not come fails its test


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)  # which ends a write that is stuck
    os.close(writer)


def dropped() -> float:
    return counted(metrics.exposition([]).decode(), "nelumbo_dropped_log_lines_total")


def test_lines_are_written_in_order(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    writer = LineWriter(descriptor)
    lines = [b"%d\n" % i for i in range(500)]
    for line in lines:
        writer.write(line)
    assert writer.flush(SOON)
    assert os.read(reader, 2**16) == b"".join(lines)


def test_a_full_pipe_blocks_no_caller_and_dropped_lines_are_counted(pipe: tuple[int, int]) -> None:
    _, descriptor = pipe
    writer, before = LineWriter(descriptor, most=10), dropped()
    for _ in range(100):
        writer.write(b"x" * 2**14)  # 4 of them fill the pipe
    assert not writer.flush(0.01)
    assert 84 <= dropped() - before <= 90


def test_a_closed_pipe_is_no_error(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    writer = LineWriter(descriptor)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, reader)
    os.close(null)
    writer.write(b"x\n")
    writer.write(b"y\n")
    assert writer.flush(SOON)


def record(line: int = 1) -> logging.LogRecord:
    return logging.LogRecord("name", logging.WARNING, "file.py", line, "Invalid %s", ("HTTP",), None)


def test_records_of_one_source_line_are_limited_and_the_rest_is_counted_a_minute_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [0.0]
    monkeypatch.setattr("service.telemetry.logging.time.monotonic", lambda: now[0])
    bound = AtMost(3)
    assert [bool(bound.filter(record())) for _ in range(10)] == [True] * 3 + [False] * 7
    assert bound.filter(record(line=2))
    now[0] = MINUTE
    later = record()
    assert bound.filter(later)
    assert later.getMessage() == "Invalid HTTP (and 7 more in the minute before)"


def test_the_handler_writes_what_a_stream_handler_would(pipe: tuple[int, int]) -> None:
    reader, descriptor = pipe
    handler = NonBlockingHandler(descriptor)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    handler.handle(record())
    handler.flush()
    assert os.read(reader, 1000) == b"WARNING Invalid HTTP\n"
