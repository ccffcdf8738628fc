import socket
import sys

import pytest

from service.runtime import server


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's filters")
def test_who_has_connected_is_answered_and_nobody_else_is_let_in() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as early,
        socket.socket() as late,
    ):
        server._drop_arrivals(listening)
        late.settimeout(0.5)
        with pytest.raises(TimeoutError):
            late.connect(listening.getsockname())
        early.sendall(b"asked")
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.recv(5) == b"asked"
            accepted.sendall(b"answered")
        assert early.recv(8) == b"answered"
