"""One HTTP connection: uvicorn's, with limits on the size of a request's head and on the time a client takes."""

import math
import socket
import struct

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.web.headers import SAFE
from service.web.problem_types import ProblemType
from service.web.problems import MEDIA_TYPE, Problem

MAX_HEADERS = 100
MAX_HEAD = 2**16  # bytes of the URL and all headers
# Bytes of a request that are no body: its head, chunks' sizes and trailers. A chunk of one byte has five of them and
# costs the event loop 0.4 µs: 96 KiB cost 8 ms. A body of 256 KiB may come in chunks of 32 bytes.
MAX_FRAMING = 96 * 2**10  # more than MAX_HEAD
# Requests that wait on one connection for those before them. uvicorn does not bound them,
# and reads on after each response: 256 KiB hold thousands.
MAX_PIPELINE = 100
# Bytes that are parsed at once. The parser does not say where in them a request begins, so that what comes before it
# counts as its framing, too.
SLICE = 2**14
TOO_LARGE = Problem(ProblemType.HEADERS_TOO_LARGE, f"Send at most {MAX_HEADERS} headers and {MAX_HEAD} bytes of them.")
RESET = struct.pack("ii", 1, 0)  # linger: on, for 0 seconds
TIMEOUT = Problem(ProblemType.REQUEST_TIMEOUT, "Send the whole request faster.")
INVALID = Problem(ProblemType.INVALID_HTTP, "Send valid HTTP.")
TOO_MANY = Problem(ProblemType.INVALID_HTTP, f"Send at most {MAX_PIPELINE} requests ahead of their responses.")


class RefusedError(Exception):
    """A request exceeds a limit."""


class Protocol(HttpToolsProtocol):
    """A connection that answers 400, 408 or 431 where a client exceeds a limit, and closes."""

    _received = 0  # bytes in the last slice
    _framing = 0
    _problem = INVALID
    _is_broken = False  # invalid HTTP follows valid requests, which are answered before it is refused
    _stalled: tuple[object, float] | None = None  # the request that the client stalls, and since when

    def data_received(self, data: bytes) -> None:
        """Parse received bytes."""
        if len(data) <= SLICE:
            self._parse(data)
            return
        for start in range(0, len(data), SLICE):
            self._parse(data[start : start + SLICE])

    def _parse(self, data: bytes) -> None:
        if self._is_broken or self.transport.is_closing():
            return
        self._received = len(data)
        self._framing += len(data)
        super().data_received(data)
        if self._framing > MAX_HEAD and self._is_too_long() and not self.transport.is_closing():
            self._problem = TOO_LARGE
            self.send_400_response("")

    def _is_too_long(self) -> bool:
        return self._framing > (MAX_HEAD if self._in_head() else MAX_FRAMING)

    def on_message_begin(self) -> None:
        """Start counting the bytes of a request."""
        self._framing = self._received
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        if len(self.headers) >= MAX_HEADERS:
            self._end_parsing(TOO_LARGE)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the app on the request."""
        # What was received holds the head, so that of most requests nothing needs to be added up.
        if self._framing > MAX_HEAD and self._size_of_head() > MAX_HEAD:
            self._end_parsing(TOO_LARGE)
        if len(self.pipeline) >= MAX_PIPELINE:
            self._end_parsing(TOO_MANY)
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts != 1 and self.parser.get_http_version() == "1.1":  # RFC 9112, section 3.2
            self._end_parsing(INVALID)
        super().on_headers_complete()

    def _size_of_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, whose size the app limits."""
        self._framing -= len(body)
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer invalid HTTP, or a head that is too large, with a problem document, and close."""
        if self.cycle is None or self.cycle.response_complete:
            self._refuse(self._problem)
        elif self._in_head() or not self.cycle.more_body or self.pipeline:
            self._is_broken = True
        elif self.cycle.response_started:
            self.transport.abort()  # another answer would seem to be a part of that one
        else:
            self._refuse(self._problem)

    def on_response_complete(self) -> None:
        """Start the next request of the pipeline or, after the last valid one, refuse the invalid HTTP."""
        super().on_response_complete()
        if self._is_broken and self.cycle.response_complete and not self.transport.is_closing():
            self._refuse(self._problem)

    def is_new(self) -> bool:
        """Return whether the client has not sent its first request yet."""
        return self.cycle is None

    def close_if_stalled(self, now: float, timeout: float) -> None:
        """Close the connection if its client has stalled one request or response for over ``timeout`` seconds."""
        if not self._waits_for_client():
            self._stalled = None
        elif self._stalled is None or self._stalled[0] is not self.scope:
            self._stalled = (self.scope, now)
        elif now - self._stalled[1] > timeout:
            self._close()

    def unread(self) -> int:
        """Return how many bytes of answers the client has not read, beyond what the kernel holds."""
        return self.transport.get_write_buffer_size()

    def waiting_since(self) -> float:
        """Return since when the client stalls its request or response; infinity where it does not."""
        return self._stalled[1] if self._stalled else math.inf

    def cut_off(self) -> None:
        """Close the connection without sending what is left: the kernel would keep it for as long as nobody reads."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self.transport.abort()

    def _waits_for_client(self) -> bool:
        """Return whether we wait for the client: for the rest of a request, or to read a response."""
        return self._in_head() or self.cycle.more_body or self.unread() > 0

    def _in_head(self) -> bool:
        return self.cycle is None or self.cycle.scope is not self.scope

    def _close(self) -> None:
        if self._owes_a_request() and not self.transport.is_closing():
            self._refuse(TIMEOUT)
        else:
            self.cut_off()

    def _owes_a_request(self) -> bool:
        """Return whether a request has begun and its response has not; browsers also open connections in advance."""
        if self._in_head():
            return self.scope is not None and (self.cycle is None or self.cycle.response_complete)
        return bool(self.cycle.more_body) and not self.cycle.response_started

    def _refuse(self, problem: Problem) -> None:
        from service.telemetry import metrics  # not before the supervisor, which imports this module, chose its folder

        metrics.REQUESTS.labels("none", "other", problem.status.value).inc()  # our app never sees it
        body = problem.document().encode()
        headers = {b"content-type": MEDIA_TYPE.encode(), b"content-length": b"%d" % len(body), b"connection": b"close"}
        lines = [b"%s: %s\r\n" % header for header in (headers | dict(SAFE)).items()]
        self.transport.write(b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", body]))
        self.transport.close()

    def _end_parsing(self, problem: Problem) -> None:
        self._problem = problem
        raise RefusedError  # the parser ends, and so send_400_response is called
