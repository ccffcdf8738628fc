import errno
import os
import socket

import pytest

from service.__main__ import _listen
from service.errors import ServiceError
from service.settings import read_settings


def test_an_address_of_an_unsupported_family_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))

    monkeypatch.setattr(socket, "socket", refuse)
    with pytest.raises(ServiceError, match=r"cannot listen on ::1:3000: Address family not supported"):
        _listen(read_settings(host="::1"), 3000)
