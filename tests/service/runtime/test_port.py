import socket
import sys

import pytest

from service.runtime.port import drop_new_connections

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's filters")


def test_accepted_and_waiting_connections_go_on_and_new_ones_are_dropped() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as early,
        socket.socket() as late,
    ):
        drop_new_connections(listening)
        late.settimeout(0.5)
        with pytest.raises(TimeoutError):
            late.connect(listening.getsockname())
        early.sendall(b"asked")
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.recv(5) == b"asked"
            accepted.sendall(b"answered")
        assert early.recv(8) == b"answered"
