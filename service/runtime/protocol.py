"""HTTP as it comes over the wire: uvicorn's connections, with the bounds in size and time that they lack."""

import socket
import struct

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.web.headers import SAFE
from service.web.problem_types import ProblemType
from service.web.problems import MEDIA_TYPE, Problem

MAX_HEADERS = 100
MAX_HEAD = 2**16  # bytes of the URL and all headers
MAX_FRAMING = 2**20  # bytes of a request that are no body: chunks' sizes and trailers, too
LONG = Problem(ProblemType.HEADERS_TOO_LARGE, f"Send at most {MAX_HEADERS} headers and {MAX_HEAD} bytes of them.")
RESET = struct.pack("ii", 1, 0)  # linger: on, for 0 seconds
SLOW = Problem(ProblemType.REQUEST_TIMEOUT, "Send the whole request faster.")
WRONG = Problem(ProblemType.INVALID_HTTP, "Send valid HTTP.")


class HeadTooLargeError(Exception):
    """A request has more or longer headers than anybody needs."""


class Protocol(HttpToolsProtocol):
    """One connection; whoever goes over a bound is told so and cut off."""

    _came = 0  # bytes at once, at last
    _framing = 0
    _wrong = WRONG
    _slow: tuple[object, float] | None = None  # the request at which the client was found slow, and when

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._came = len(data)
        self._framing += len(data)
        super().data_received(data)
        if self._framing > (MAX_HEAD if self._in_head() else MAX_FRAMING) and not self.transport.is_closing():
            self._wrong = LONG
            self.send_400_response("")

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._framing = self._came
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        if len(self.headers) >= MAX_HEADERS:
            self._refuse_head()
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request on."""
        if len(self.url) + sum(len(name) + len(value) for name, value in self.headers) > MAX_HEAD:
            self._refuse_head()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a part of the body, which the app bounds."""
        self._framing -= len(body)
        super().on_body(body)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or too much of it, as all else that is wrong; and hang up."""
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.abort()  # another answer would seem to be a part of that one
        else:
            self._refuse(self._wrong)

    def is_new(self) -> bool:
        """Tell whether the client has not sent its first request yet."""
        return self.cycle is None

    def close_if_stalled(self, now: float, patience: float) -> None:
        """End a connection whose client has let one request or answer wait for over ``patience`` seconds."""
        if not self._waits():
            self._slow = None
        elif self._slow is None or self._slow[0] is not self.scope:
            self._slow = (self.scope, now)
        elif now - self._slow[1] > patience:
            self._hang_up()

    def _waits(self) -> bool:
        """Tell whether it is the client's turn: to send the rest of a request, or to take an answer."""
        return self._in_head() or self.cycle.more_body or self.transport.get_write_buffer_size() > 0

    def _in_head(self) -> bool:
        return self.cycle is None or self.cycle.scope is not self.scope

    def _hang_up(self) -> None:
        if self._owes_a_request() and not self.transport.is_closing():
            self._refuse(SLOW)
        else:
            # With what is left to send: the system would keep it for as long as the client takes no more.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()

    def _owes_a_request(self) -> bool:
        """Tell whether a request has begun and its answer has not; browsers connect ahead of need, and say nothing."""
        if self._in_head():
            return self.scope is not None and (self.cycle is None or self.cycle.response_complete)
        return bool(self.cycle.more_body) and not self.cycle.response_started

    def _refuse(self, problem: Problem) -> None:
        body = problem.document().encode()
        headers = {b"content-type": MEDIA_TYPE.encode(), b"content-length": b"%d" % len(body), b"connection": b"close"}
        lines = [b"%s: %s\r\n" % header for header in (headers | dict(SAFE)).items()]
        self.transport.write(b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", body]))
        self.transport.close()

    def _refuse_head(self) -> None:
        self._wrong = LONG
        raise HeadTooLargeError  # the parser ends, and so send_400_response is called
