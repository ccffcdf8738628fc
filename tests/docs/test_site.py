import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import expect

from tests.e2e.browser import browsing, visiting

ROOT = Path(__file__).parents[2]
CONFIG = yaml.safe_load((ROOT / "mkdocs.yml").read_text())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as make docs builds it: strictly, so that a link or an anchor that leads nowhere ends it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    assert built.returncode == 0, built.stderr
    return folder


def pages(nav: Any) -> Iterator[str]:
    for entry in nav:
        for value in entry.values():
            yield from [value] if isinstance(value, str) else pages(value)


def test_every_page_is_in_the_nav() -> None:
    found = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    found |= {path.relative_to(ROOT).as_posix() for path in ROOT.glob("models/*/*/README.md")}
    missing = found - set(pages(CONFIG["nav"]))
    assert not missing, f"add to nav in mkdocs.yml: {', '.join(sorted(missing))}"


def test_a_link_that_leads_nowhere_ends_the_build() -> None:
    validation = CONFIG["validation"]
    assert set(validation["links"].values()) == set(validation["nav"].values()) == {"warn"}
    assert validation["links"].keys() == {"not_found", "anchors", "absolute_links", "unrecognized_links"}


class Loaded(HTMLParser):
    """Collects what a page makes a browser load: everything but what a person has to click."""

    def __init__(self) -> None:
        super().__init__()
        self.urls: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "a":
            self.urls += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "poster", "data")]


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    elsewhere = re.compile(r"(?:[a-z+.-]+:)?//", re.IGNORECASE)
    for path in site.rglob("*.html"):
        parser = Loaded()
        parser.feed(path.read_text())
        assert [url for url in parser.urls if elsewhere.match(url)] == [], path
    for path in site.rglob("*.css"):
        loaded = re.findall(r"(?:url\(|@import)\s*['\"]?([^'\")]+)", path.read_text())
        assert [url for url in loaded if elsewhere.match(url)] == [], path


def test_the_readme_is_the_first_page_and_the_cards_are_there(site: Path) -> None:
    first = (site / "index.html").read_text()
    assert "From a folder of images to an image generator behind HTTP" in first
    assert 'src="page-wide.png"' in first
    assert 'href="models/cats/3/index.html"' in first
    assert "AFHQ" in (site / "models/cats/3/index.html").read_text()
    assert not list(site.rglob("*.py"))


@pytest.mark.slow
def test_a_browser_reads_and_searches_the_site_without_another_host(site: Path) -> None:
    handler = functools.partial(Quiet, directory=site)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server, browsing() as browser:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with visiting(browser, f"http://127.0.0.1:{server.server_port}/index.html") as page:
            page.get_by_role("textbox", name="Search").fill("truncation")
            first = page.locator(".md-search-result__item").first
            expect(first).to_be_visible(timeout=60_000)  # a worker reads the index first
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""
