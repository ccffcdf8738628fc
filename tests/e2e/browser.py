"""A real browser: Debian's chromium, with its background connections turned off."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60_000  # milliseconds until an expectation fails


@contextmanager
def browsing() -> Iterator[Browser]:
    """Run a browser until the block ends; skips the test if none is installed."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("no chromium here")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS, timeout=PATIENCE)
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, url: str, *, errors: bool = False, **context: Any) -> Iterator[Page]:
    """Open a page that must connect to no other host and, unless ``errors`` are expected, log no error."""
    said: list[str] = []
    hosts: set[str] = set()
    opened = browser.new_context(**context)
    page = opened.new_page()
    page.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
    page.goto(url)
    yield page
    opened.close()
    assert hosts - {""} == {urlsplit(url).netloc}, hosts  # a data: URL has none
    assert errors or not said, said
