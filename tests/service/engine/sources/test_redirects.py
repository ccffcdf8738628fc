"""A source that sends on to another host: what it holds is taken from there, and credentials stay with its own."""

import json
from base64 import b64encode
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from service.contract import digest_of
from service.engine import sources
from service.engine.sources import SourceError, oci
from tests import certificates, tiny
from tests.sources import HubHandler, running, trust, web

Given = list[str | None]  # the Authorization headers of requests, None for none


class Elsewhere(HubHandler):
    """A Hub on another host."""

    def __init__(self, *args: Any, given: Given, folder: Path) -> None:
        self.given = given
        super().__init__(*args, folder=folder)

    def do_GET(self) -> None:  # noqa: N802 (the name that http.server calls)
        self.given.append(self.headers.get("Authorization"))
        super().do_GET()


class Sending(Elsewhere):
    """A Hub that sends on whoever asks for a file."""

    def __init__(self, *args: Any, given: Given, folder: Path, to: str) -> None:
        self.to = to
        super().__init__(*args, given=given, folder=folder)

    def do_GET(self) -> None:  # noqa: N802 (the name that http.server calls)
        if self.command == "GET" and "/resolve/" in self.path:
            return self._answer(302, b"", {"Location": f"{self.to}{self.path}"})
        return super().do_GET()


def test_the_token_of_the_hub_goes_to_no_other_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny.write(tmp_path / "me" / "models" / "main", tiny.card("a"))
    there, own = [], []  # type: Given, Given
    elsewhere = ThreadingHTTPServer(("127.0.0.1", 0), partial(Elsewhere, given=there, folder=tmp_path))
    with running(elsewhere) as other:
        sending = partial(Sending, given=own, folder=tmp_path, to=f"http://localhost:{other}")
        with running(ThreadingHTTPServer(("127.0.0.1", 0), sending)) as port:
            monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{port}")
            monkeypatch.setenv("HF_TOKEN", "hf_horse")
            assert sources.mirror("hf://me/models")
    assert "Bearer hf_horse" in own
    assert set(there) == {None}


class Registry(BaseHTTPRequestHandler):
    """A registry that wants a password, and sends on whoever asks for a blob."""

    def __init__(self, *args: Any, own: Given, there: Given, layers: dict[str, bytes]) -> None:
        self.own, self.there, self.layers = own, there, layers
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        given, (host, port) = self.headers.get("Authorization"), self.headers["Host"].split(":")
        if host == "localhost":  # the other host, which is this one by another name
            self.there.append(given)
            digest = self.path.rpartition(":")[2]
            return self._answer(200, next(data for data in self.layers.values() if digest_of(data) == digest))
        if not given:
            return self._answer(401, b"", {"WWW-Authenticate": 'Basic realm="here"'})
        self.own.append(given)
        if "/blobs/" in self.path:
            return self._answer(307, b"", {"Location": f"http://localhost:{port}{self.path}"})
        layers = [
            {"size": len(data), "digest": f"sha256:{digest_of(data)}", "annotations": {oci.FILE: path}}
            for path, data in self.layers.items()
        ]
        return self._answer(200, json.dumps({"layers": layers}).encode())

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def test_the_password_of_a_registry_goes_to_no_other_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.write(tmp_path, tiny.card("a"))
    files = {f"a/1/{file.name}": file.read_bytes() for file in folder.iterdir()}
    own, there = [], []  # type: Given, Given
    answers = partial(
        Registry, own=own, there=there, layers={path: oci._packed(data, path) for path, data in files.items()}
    )
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with running(ThreadingHTTPServer(("127.0.0.1", 0), answers)) as port:
        login = {"auths": {f"127.0.0.1:{port}": {"auth": b64encode(b"me:horse").decode()}}}
        (tmp_path / "config.json").write_text(json.dumps(login))
        assert sources.mirror(f"oci://127.0.0.1:{port}/models:1")
    assert len(own) > 2
    assert (len(there), set(there)) == (len(files), {None})


class Away(SimpleHTTPRequestHandler):
    """A web server that sends on to an address."""

    def __init__(self, *args: Any, to: str) -> None:
        self.to = to
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(302)
        self.send_header("Location", f"{self.to}{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()


@pytest.mark.parametrize("scheme", ["http", "file"])
def test_no_web_server_leads_to_what_is_not_encrypted_or_on_this_machine(
    scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: Given = []
    for name, value in trust(tmp_path).items():
        monkeypatch.setenv(name, value)
    with running(ThreadingHTTPServer(("127.0.0.1", 0), partial(Elsewhere, given=given, folder=tmp_path))) as port:
        address = {"http": f"http://127.0.0.1:{port}", "file": f"file://{tmp_path}"}[scheme]
        certificate = certificates.for_loopback(tmp_path)
        with web(tmp_path, certificate, handler=partial(Away, to=address)) as url, pytest.raises(SourceError):
            sources.mirror(url)
    assert given == []
