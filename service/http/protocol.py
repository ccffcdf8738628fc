"""HTTP as it comes over the wire: uvicorn's parser with bounds to what is no body, of which it has none."""

from http import HTTPStatus

from uvicorn.config import HTTP_PROTOCOLS
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.http.errors import MEDIA_TYPE, Problem
from service.http.headers import SAFE

MAX_HEADERS = 100
MAX_HEAD = 2**16  # bytes of the URL and all headers
MAX_FRAMING = 2**20  # bytes of a request that are no body: of a head that does not end, of chunks' sizes, of trailers


class HeadTooLargeError(Exception):
    """A request has more or longer headers than anybody needs."""


class Protocol(HttpToolsProtocol):
    """One connection; whoever goes over a bound is told so and cut off."""

    _framing = 0
    _too_large = False

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        self._framing += len(data)
        if self._framing > MAX_FRAMING:
            self._too_large = True
            self.send_400_response("")
        else:
            super().data_received(data)

    def on_message_begin(self) -> None:
        """Begin to count."""
        self._framing = 0
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
        """Answer what is no HTTP, or too much of it, as everything else that is wrong; and hang up."""
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE if self._too_large else HTTPStatus.BAD_REQUEST
        bounds = f"Send at most {MAX_HEADERS} headers and {MAX_HEAD} bytes of them."
        body = Problem(status, bounds if self._too_large else "Send valid HTTP.").document().encode()
        headers = {b"content-type": MEDIA_TYPE.encode(), b"content-length": b"%d" % len(body), b"connection": b"close"}
        lines = [b"%s: %s\r\n" % header for header in (headers | dict(SAFE)).items()]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        self.transport.close()

    def _refuse_head(self) -> None:
        self._too_large = True
        raise HeadTooLargeError  # the parser ends, and so send_400_response is called


def install() -> None:
    """Have every server of this process use it: BentoML leaves the choice to uvicorn, and uvicorn to this table."""
    HTTP_PROTOCOLS["auto"] = f"{__name__}:{Protocol.__name__}"
