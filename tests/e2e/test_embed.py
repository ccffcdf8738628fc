"""A page of another site, in a browser: it may show images, and call the API where the server allows it."""

import functools
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.e2e.browser import browsing
from tests.e2e.server import ROOT, Server, serving

BLOCKS = re.findall(r"```(html|js)\n(.*?)```", (ROOT / "docs/embed.md").read_text(), re.DOTALL)
SIZE = "[...document.images].map((image) => image.complete && image.naturalWidth)"
READS = """async (url) => {
    const image = Object.assign(new Image(), { crossOrigin: "anonymous", src: url });
    await image.decode();
    const canvas = Object.assign(document.createElement("canvas"), { width: 20, height: 24 });
    canvas.getContext("2d").drawImage(image, 0, 0);
    return canvas.getContext("2d").getImageData(0, 0, 20, 24).data.length;
}"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Log nothing."""


def block(language: str, having: str, server: Server) -> str:
    """Return an example of docs/embed.md, for this server and one of its models."""
    (found,) = (text for kind, text in BLOCKS if kind == language and having in text)
    return found.replace("http://127.0.0.1:3000", server.url).replace("emoji@2", "rgb@1").replace('"emoji"', '"rgb"')


@contextmanager
def site(folder: Path) -> Iterator[str]:
    """Serve a folder from an origin of its own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as pages:
        threading.Thread(target=pages.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{pages.server_port}"
        pages.shutdown()


@pytest.fixture
def origin(server: Server, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "index.html").write_text(f"<!doctype html><title>Elsewhere</title>{block('html', '<img', server)}")
    with site(tmp_path) as url:
        yield url


@pytest.fixture
def page(origin: str) -> Iterator[Page]:
    with browsing() as browser:
        page = browser.new_page()
        page.goto(origin, wait_until="load")
        page.evaluate("Promise.all([...document.images].map((image) => image.decode()))")
        yield page


def test_by_default_a_page_elsewhere_shows_images_and_reads_nothing(page: Page, server: Server) -> None:
    assert page.evaluate(SIZE) == [20]
    for script in (f"fetch('{server.url}/models')", f"({READS})('{server.url}/images/rgb@1/42.png')"):
        outcome = page.evaluate(f"{script}.then(() => 'read', (error) => error.name)")
        assert outcome in ("TypeError", "EncodingError")


def test_where_the_server_allows_it_a_page_elsewhere_calls_the_api(
    page: Page, origin: str, models: Path, tmp_path: Path
) -> None:
    with serving(tmp_path / "log", models=models, cors_origins=origin, until="/models/rgb@1") as open_server:
        script = block("js", "/generate", open_server)
        width = page.evaluate(f"async () => {{ {script} await image.decode(); return [image.naturalWidth, seed]; }}")
        assert width[0] == 20
        assert width[1].isdecimal()
        assert page.evaluate(READS, f"{open_server.url}/images/rgb@1/42.png") == 20 * 24 * 4
