"""The examples of docs/call.md, each run against a real server."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from PIL import Image

from tests.e2e.server import ROOT, SERVE, Server, serving

WRITTEN = "http://127.0.0.1:3000"
HOP = {"connection", "transfer-encoding", "host", "date", "server"}


def examples(section: str, language: str) -> list[str]:
    """Return the code blocks of a section of the page."""
    text = (ROOT / "docs" / "call.md").read_text()
    (body,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    return re.findall(rf"^```{language}\n(.*?)^```", body, re.DOTALL | re.MULTILINE)


def run(command: list[str], code: str, url: str, folder: Path) -> str:
    """Run an example against the server at ``url``, and return what it prints."""
    assert WRITTEN in code
    done = subprocess.run(
        command, input=code.replace(WRITTEN, url), cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def copy_digits(folder: Path) -> None:
    """Copy the first version of the digits into ``folder/models``, which has no other model then."""
    shutil.copytree(ROOT / "models" / "digits" / "1", folder / "models" / "digits" / "1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("clients")
    copy_digits(folder)
    with serving(folder / "log", models=folder / "models") as running:
        yield running


class Busy(ThreadingHTTPServer):
    """A proxy that answers 503 to the first request of each kind, and passes the others on."""

    def __init__(self, server: Server) -> None:
        super().__init__(("127.0.0.1", 0), Turn)
        self.behind = server.url
        self.refused: dict[tuple[str, str], float] = {}
        self.waited: list[float] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Turn(BaseHTTPRequestHandler):
    server: Busy
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        key, now = (self.command, self.path), time.monotonic()
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if key not in self.server.refused:
            self.server.refused[key] = now
            self.send(503, {"Retry-After": "1", "Content-Type": "application/problem+json"}, b'{"detail": "Full."}')
            return
        if first := self.server.refused[key]:
            self.server.refused[key] = 0.0
            self.server.waited.append(now - first)
        asked = urllib.request.Request(self.server.behind + self.path, body or None, method=self.command)
        for name, value in self.headers.items():
            if name.lower() not in HOP:
                asked.add_header(name, value)
        try:
            with urllib.request.urlopen(asked) as answer:
                self.send(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            self.send(error.code, dict(error.headers), error.read())

    do_POST = do_GET  # noqa: N815

    def send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def busy(server: Server) -> Iterator[Busy]:
    proxy = Busy(server)
    Thread(target=proxy.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()


def waits_for_retry_after(proxy: Busy, requests: int) -> None:
    """Check that each kind of request was retried, at least a second later, as Retry-After says."""
    assert len(proxy.waited) == len(proxy.refused) >= requests
    assert min(proxy.waited) >= 0.99


def is_a_set(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == [f"seed{seed:04d}.png" for seed in range(16)]


def is_a_walk(path: Path) -> None:
    with Image.open(path) as image:
        assert getattr(image, "n_frames", 1) == 16


def picture(server: Server, seed: int) -> bytes:
    return httpx.get(f"{server.url}/images/digits@1/{seed}.png").raise_for_status().content


def test_curl(server: Server, tmp_path: Path) -> None:
    drawing, mistake = examples("curl", "sh")
    run(["bash", "-e"], drawing.replace("curl ", "curl -sS --fail-with-body "), server.url, tmp_path)
    for name, seed in (("42", 42), ("7", 7), ("cached", 42)):
        assert (tmp_path / f"{name}.png").read_bytes() == picture(server, seed)
    assert '"b64_json"' in (tmp_path / "any.json").read_text()
    is_a_set(tmp_path / "16.zip")
    is_a_walk(tmp_path / "walk.png")
    written = mistake.splitlines()[1].removeprefix("# {").removesuffix(" …").split(" … ")
    printed = run(["bash", "-e"], mistake, server.url, tmp_path)
    assert all(part in printed for part in written)


def test_curl_retries_after_503(server: Server, tmp_path: Path) -> None:
    (line,) = re.findall(r"^curl --retry .*$", examples("curl", "sh")[0], re.MULTILINE)
    with busy(server) as proxy:
        run(["bash", "-e"], line, proxy.url, tmp_path)
        waits_for_retry_after(proxy, 1)
    assert (tmp_path / "7.png").read_bytes() == picture(server, 7)


def test_python(server: Server, tmp_path: Path) -> None:
    with busy(server) as proxy:
        said = run([sys.executable, "-"], "\n".join(examples("Python", "python")), proxy.url, tmp_path)
        waits_for_retry_after(proxy, 4)
    assert said == "422: seed must be an integer from 0 to 4294967295.\n"
    for seed in (42, 1, 5, 9):
        assert (tmp_path / f"{seed}.png").read_bytes() == picture(server, seed)
    assert Image.open(tmp_path / "latent.png").size == Image.open(io.BytesIO(picture(server, 1))).size
    is_a_set(tmp_path / "16.zip")
    is_a_walk(tmp_path / "walk.webp")


@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_javascript(server: Server, tmp_path: Path) -> None:
    with busy(server) as proxy:
        said = run(["node", "--input-type=module"], "\n".join(examples("JavaScript", "js")), proxy.url, tmp_path)
        waits_for_retry_after(proxy, 4)
    assert said == "304\n422: seed must be an integer from 0 to 4294967295.\n"
    assert (tmp_path / "42.png").read_bytes() == picture(server, 42)
    assert Image.open(tmp_path / "latent.png").size == Image.open(io.BytesIO(picture(server, 1))).size
    is_a_set(tmp_path / "16.zip")
    is_a_walk(tmp_path / "walk.png")


def test_bentomls_client(server: Server, tmp_path: Path) -> None:
    (code,) = examples("BentoML", "python")
    run([sys.executable, "-"], code, server.url, tmp_path)
    assert (tmp_path / "42.png").read_bytes() == picture(server, 42)


def test_openais_client(server: Server, tmp_path: Path) -> None:
    (code,) = examples("OpenAI's clients", "python")
    models, *revised, url = run([sys.executable, "-"], code, server.url, tmp_path).splitlines()
    assert models == "['digits@1']"
    assert revised == ["seed 42 of digits@1", "seed 43 of digits@1"]
    for seed in (42, 43):
        assert (tmp_path / f"{seed}.png").read_bytes() == picture(server, seed)
    assert url.startswith(f"{server.url}/images/digits@1/")
    assert httpx.get(url).headers["content-type"] == "image/png"


def test_with_an_api_key(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = subprocess.run([*SERVE, "key", "me"], cwd=ROOT, capture_output=True, text=True, check=True)
    (tmp_path / "keys").write_text(made.stdout)
    monkeypatch.setenv("KEY", made.stderr.split()[-1])
    with serving(tmp_path / "log", models=models, api_keys=tmp_path / "keys") as server:
        assert httpx.get(f"{server.url}/models").status_code == 401
        (curl,), (python,) = (examples("With an API key", language) for language in ("sh", "python"))
        run(["bash", "-e"], curl, server.url, tmp_path)
        run([sys.executable, "-"], python, server.url, tmp_path)
    assert Image.open(tmp_path / "42.png").info["seed"] == "42"


def test_the_generator_draws_what_the_server_draws(server: Server, tmp_path: Path) -> None:
    (code,) = examples("Without a server", "python")
    copy_digits(tmp_path)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-"]
    done = subprocess.run(command, input=code, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "drawn.png") as drawn, Image.open(io.BytesIO(picture(server, 42))) as served:
        assert drawn.tobytes() == served.tobytes()


def test_without_a_server(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = examples("Without a server", "sh")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    copy_digits(tmp_path)
    subprocess.run(["bash", "-e"], input=code, cwd=tmp_path, text=True, check=True, timeout=120)
    assert (
        (tmp_path / "42.png").read_bytes() == (tmp_path / "digits" / "seed0042.png").read_bytes() == picture(server, 42)
    )
    wanted = sorted(path.name for path in (tmp_path / "digits").iterdir())
    assert len(wanted) == 101
    with zipfile.ZipFile(tmp_path / "digits.zip") as archive:
        assert sorted(archive.namelist()) == wanted
    shards = sorted(tmp_path.glob("digits-*.tar"))
    assert [path.name for path in shards] == [f"digits-{i:04d}.tar" for i in range(3)]
    listed = [subprocess.run(["tar", "tf", str(path)], capture_output=True, text=True, check=True) for path in shards]
    names = "".join(one.stdout for one in listed).split()
    assert sorted(name for name in names if name.endswith(".png")) == wanted
