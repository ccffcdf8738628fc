"""The page's main actions in Firefox; test_page.py has all of them, in Chromium."""

from collections.abc import Iterator

import pytest

from tests import tiny
from tests.e2e.firefox import Firefox, firefox
from tests.e2e.server import Server, serving

DRAWN = (
    "document.querySelectorAll('#grid img[src]').length === 12 && document.querySelector('#set').ariaBusy === 'false'"
)
TITLE = "document.querySelector('#set-title').textContent"
ENTER, ESCAPE = "\ue007", "\ue00c"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("models")
    tiny.write(folder, tiny.card("grey", truncation=True))
    tiny.write(folder, tiny.card("letters", classes=("A", "B", "C")))
    with serving(tmp_path_factory.mktemp("server") / "log", models=folder) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with firefox(tmp_path_factory.mktemp("firefox")) as running:
        yield running


@pytest.fixture
def page(browser: Firefox, server: Server) -> Firefox:
    browser.visit(f"{server.url}/?model=grey@1&seed=42")
    browser.run("localStorage.clear()")
    browser.visit(f"{server.url}/?model=grey@1&seed=42&psi=1")
    browser.wait(DRAWN)
    return browser


def test_pictures_are_drawn_enlarged_kept_and_walked(page: Firefox) -> None:
    assert page.run(TITLE) == "Seeds 42 – 53"
    page.click("#grid li:nth-child(2) .view")
    page.wait("document.querySelector('#one').open")
    assert page.run("document.querySelector('#one-title').textContent") == "Seed 43"
    page.click("#one-keep")
    page.press(ESCAPE)
    page.wait("!document.querySelector('#one').open && !location.hash")
    page.click("#grid li:nth-child(5) .mark")
    page.wait("document.querySelectorAll('#kept img[src]').length === 2")
    page.click("#walk")
    page.wait("!document.querySelector('#stage').hidden")
    page.run("history.back()")
    page.wait("document.querySelector('#stage').hidden")
    page.click("#new")
    page.wait(f"{TITLE} !== 'Seeds 42 – 53' && {DRAWN}")
    page.run("history.back()")
    page.wait(f"{TITLE} === 'Seeds 42 – 53' && {DRAWN}")


FILM = """(async () => {
    const { film, filmKind } = await import("/page/film.js");
    const frame = document.querySelector("#canvas");
    const how = { scale: 8, isCrisp: true, signal: new AbortController().signal };
    const blob = await film([frame, frame], 500, how);
    return [filmKind.extension, blob.type, [...new Uint8Array(await blob.slice(0, 4).arrayBuffer())]];
})()"""


def test_a_walk_is_filmed(page: Firefox) -> None:
    for index in (2, 5):
        page.click(f"#grid li:nth-child({index}) .mark")
    page.click("#walk")
    page.wait("!document.querySelector('#stage').hidden")
    assert not page.run("document.querySelector('#film').disabled")
    assert page.run(FILM) == ["webm", "video/webm", [0x1A, 0x45, 0xDF, 0xA3]]  # as Matroska begins


def test_a_word_is_set(page: Firefox) -> None:
    page.click("[value='letters@1']")
    page.wait("!document.querySelector('#word').hidden")
    page.click("#word-field")
    page.press(f"cab{ENTER}")
    page.wait("document.querySelector('#word-canvas').ariaLabel === 'CAB, in typeface 42'")
    page.click("[value='B']")
    page.wait(f"location.search.includes('class=B') && {DRAWN}")


def test_a_slider_is_moved(page: Firefox) -> None:
    page.click("#adjust summary")
    before = page.run("document.querySelector('#grid img').src")
    page.click("#psi")  # its middle
    page.wait(f"location.search.includes('psi=0.') && document.querySelector('#grid img').src !== {before!r}")
