"""A registry that was taken over: what it answers takes no more memory than a manifest may."""

import gzip
import json
import tarfile
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from service.contract import ContractError
from service.engine import sources
from service.engine.sources import SourceError, oci
from service.engine.sources.oci import FILE, MAX_MANIFEST
from tests.sources import running

ENDLESS = 2**28  # bytes of an answer that has no end
HELD = 2**26  # bytes of it that the kernel may hold for both ends: 10 MiB by default, 36 since Linux 6.18


class Hostile(BaseHTTPRequestHandler):
    """A registry, one answer of which is as the test has it; ``sent`` counts the bytes of endless ones."""

    def __init__(self, *args: Any, answers: dict[str, bytes], sent: list[int]) -> None:
        self.answers, self.sent = answers, sent
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        part = next((part for part in ("manifests", "blobs") if part in self.path), "ping")
        body = self.answers.get(part, b"")
        endless = body == b"endless"
        self.send_response(200)
        self.send_header("Content-Length", str(ENDLESS if endless else len(body)))
        if body.startswith(b"\x1f\x8b"):
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        try:
            while endless and sum(self.sent) < ENDLESS:
                self.sent.append(self.wfile.write(bytes(2**16)))
            self.wfile.write(b"" if endless else body)
        except OSError:  # the client has closed
            self.close_connection = True


def manifest(*layers: object) -> bytes:
    return json.dumps({"layers": layers}).encode()


def layer(file: str, size: object) -> dict[str, object]:
    return {"size": size, "digest": f"sha256:{'0' * 64}", "annotations": {FILE: f"a/1/{file}"}}


BOMB = gzip.compress(b" " * (8 * MAX_MANIFEST) + manifest())
HOSTILE = {
    "an endless greeting": {"ping": b"endless", "manifests": manifest()},
    "an endless manifest": {"manifests": b"endless"},
    "a manifest that is small when it is packed": {"manifests": BOMB},
    "no manifest": {"manifests": b"[" * 100},
    "layers without a size": {
        "manifests": manifest(layer("sha256", None), layer("model.onnx", None)),
        "blobs": b"endless",
    },
    "layers of less than nothing": {"manifests": manifest(layer("sha256", -2)), "blobs": b"endless"},
    "layers of a text": {"manifests": manifest(layer("sha256", "5")), "blobs": b"endless"},
    "layers of no dictionary": {"manifests": manifest("layer")},
}


@pytest.fixture(params=HOSTILE.values(), ids=HOSTILE)
def hostile(request: pytest.FixtureRequest) -> Iterator[tuple[str, list[int]]]:
    sent: list[int] = []
    with running(ThreadingHTTPServer(("127.0.0.1", 0), partial(Hostile, answers=request.param, sent=sent))) as port:
        yield f"oci://127.0.0.1:{port}/models:1", sent


def test_a_hostile_registry_is_an_error_of_its_own_and_fills_no_memory(hostile: tuple[str, list[int]]) -> None:
    url, sent = hostile
    with pytest.raises(SourceError):
        sources.mirror(url)
    assert sum(sent) < MAX_MANIFEST + HELD


def test_a_blob_that_goes_on_is_read_to_the_size_that_the_manifest_says(caplog: pytest.LogCaptureFixture) -> None:
    sent: list[int] = []
    answers = {"manifests": manifest(layer("sha256", 100)), "blobs": b"endless"}
    with running(ThreadingHTTPServer(("127.0.0.1", 0), partial(Hostile, answers=answers, sent=sent))) as port:
        assert not sources.mirror(f"oci://127.0.0.1:{port}/models:1")
    assert "is not what the manifest" in caplog.text
    assert sum(sent) < HELD


def header(kind: bytes, name: str, size: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size = kind, size
    return entry.tobuf(tarfile.USTAR_FORMAT)


PATH = "a/1/model.onnx"
TARS = {
    "digits that are no header": header(tarfile.XHDTYPE, "././@PaxHeader", 2**17) + b"1" * 2**17,
    "digits before a file": header(tarfile.XHDTYPE, PATH, 2**17)
    + b"1" * 2**17
    + header(tarfile.REGTYPE, PATH, 1)
    + b"x",
    "a link": header(tarfile.SYMTYPE, PATH, 0),
    "a device": header(tarfile.CHRTYPE, PATH, 0),
    "a sparse file": header(tarfile.GNUTYPE_SPARSE, PATH, 2**20),
    "another name": header(tarfile.REGTYPE, "a/1/../../x", 1) + b"x",
    "an absolute name": header(tarfile.REGTYPE, "/etc/passwd", 1) + b"x",
    "less than it says": header(tarfile.REGTYPE, PATH, 2**16) + b"x",
    "more than may be": header(tarfile.REGTYPE, PATH, 2**20) + bytes(2**20),
    "nothing": b"",
    "zeros": bytes(10240),
}


@pytest.mark.parametrize("data", TARS.values(), ids=TARS)
def test_an_archive_of_anything_but_its_file_is_refused_at_once(data: bytes) -> None:
    started = time.process_time()
    with pytest.raises(ContractError):
        oci._unpacked(data + bytes(10240), PATH, 2**18)
    assert time.process_time() - started < 1


@pytest.mark.parametrize("path", [PATH, f"{'n' * 64}/1234567890/model{'x' * 54}.onnx"], ids=["short", "long"])
def test_an_archive_gives_back_its_file(path: str) -> None:
    assert oci._unpacked(oci._packed(b"model", path), path, 5) == b"model"
