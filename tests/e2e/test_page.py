import base64
import io
import json
import re
import shutil
import subprocess
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Download, Page, Request, Route, expect

from service.engine import latents
from service.engine.interpolation import slerp
from tests import tiny, waiting
from tests.e2e.browser import browsing, visiting
from tests.e2e.server import ROOT, Server, serving
from tests.service.web.test_invert import write_encoder

GREY = "?model=grey@1&seed=42"
JSON = {"accept": "application/json"}
NARROW = {"width": 390, "height": 844}
WIDE = {"width": 1440, "height": 900}
COUNT = 12
LETTERS = ("A", "B", "C", "É")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with grey@1, rgb@1, and models with classes and directions: abc@1, kinds@1 (200 classes), moved@1."""
    folder = tmp_path_factory.mktemp("models")
    write_encoder(tiny.write(folder, tiny.card("grey", truncation=True)))
    tiny.write(folder, tiny.card("rgb", latent_dim=16, height=24, width=20, channels=3))
    tiny.write(folder, tiny.card("letters", classes=LETTERS))
    tiny.write(folder, tiny.card("kinds", classes=tuple(f"kind {number:03d}" for number in range(200))))
    tiny.write(folder, tiny.conditional("moved", default_truncation=0.8))
    with serving(tmp_path_factory.mktemp("server") / "log", models=folder) as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The page with seeds 42 to 53 of grey@1."""
    with visiting(browser, f"{server.url}/{GREY}") as opened:
        wait_for(opened, "Seeds 42 – 53")
        yield opened


@contextmanager
def showing(browser: Browser, server: Server, query: str, title: str, **context: Any) -> Iterator[Page]:
    """Open the page at a query, and wait until its pictures are there."""
    with visiting(browser, f"{server.url}/{query}", **context) as opened:
        wait_for(opened, title)
        yield opened


def wait_for(page: Page, title: str) -> None:
    expect(page.locator("#set-title")).to_have_text(title)
    expect(page.locator("#set")).to_have_attribute("aria-busy", "false")


def shown(page: Page, within: str = "#grid .view img[src]") -> list[bytes]:
    """Return the PNGs that are seen."""
    sources = page.locator(within).evaluate_all("images => images.map(image => image.src)")
    return [base64.b64decode(source.partition(",")[2]) for source in sources]


def drawn(server: Server, **body: Any) -> list[bytes]:
    """Return the PNGs that the server draws."""
    answer = httpx.post(f"{server.url}/generate", json={"model": "grey"} | body, headers=JSON)
    return [base64.b64decode(one["b64_json"]) for one in answer.json()["data"]]


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png))).astype(int)


def keep(page: Page, *indices: int) -> None:
    for index in indices:
        page.locator("#grid li").nth(index).hover()
        page.locator("#grid .mark").nth(index).click()


def enlarge(page: Page, index: int) -> None:
    page.locator("#grid .view").nth(index).click()
    expect(page.locator("#one")).to_be_visible()


def slide(page: Page, selector: str, value: float) -> None:
    page.locator(selector).fill(str(value))


@contextmanager
def sent(page: Page) -> Iterator[list[dict[str, Any]]]:
    """Collect the bodies of what the page asks to be drawn."""
    bodies: list[dict[str, Any]] = []
    page.on("request", lambda request: bodies.append(request.post_data_json) if request.post_data else None)
    yield bodies


def downloaded(page: Page, selector: str) -> Download:
    with page.expect_download() as download:
        page.click(selector)
    return download.value


def content(download: Download) -> bytes:
    return Path(download.path()).read_bytes()


def pixels_of(latent: np.ndarray, **more: Any) -> dict[str, Any]:
    return {"latent": [float(number) for number in latent], **more}


def opened(page: Page, title: str) -> None:
    expect(page.locator("#one-title")).to_have_text(title)
    expect(page.locator("#one")).to_be_visible()


def kept(page: Page) -> list[str]:
    """Return the names of the kept pictures, in their order."""
    return page.locator("#kept .name").all_inner_texts()


# What is drawn


def test_the_page_shows_what_the_server_draws(page: Page, server: Server) -> None:
    assert shown(page) == drawn(server, seed=42, n=COUNT)
    assert page.locator("#grid .name").all_inner_texts() == [str(seed) for seed in range(42, 54)]


def test_a_first_visit_draws_short_seeds_that_its_address_then_shares(browser: Browser, server: Server) -> None:
    with visiting(browser, server.url) as page:
        expect(page.locator("#grid img[src]")).to_have_count(COUNT)
        pictures, address = shown(page), page.url
        assert re.search(r"\?model=grey@1&seed=\d{1,4}$", address)
        page.click("#new")
        expect(page).not_to_have_url(address)
        waiting.wait_for(lambda: shown(page) != pictures)
        assert re.search(r"\?model=grey@1&seed=\d{1,4}$", page.url)
        page.go_back()
        waiting.wait_for(lambda: shown(page) == pictures)
        assert page.url == address


def test_a_seed_is_edited_and_back_goes_to_the_one_before(page: Page, server: Server) -> None:
    page.fill("#seed", "4294967290")
    page.press("#seed", "Enter")
    wait_for(page, "Seeds 4294967290 – 5")
    assert shown(page) == drawn(server, seed=4294967290, n=COUNT)
    page.go_back()
    wait_for(page, "Seeds 42 – 53")
    assert page.input_value("#seed") == "42"


@pytest.mark.parametrize("seed", ["", "-1", "4294967296", "1.5"])
def test_an_invalid_seed_is_reported_by_the_page_without_a_request(page: Page, seed: str) -> None:
    page.fill("#seed", seed)
    with sent(page) as bodies:
        page.click("#show")
        assert page.locator("#seed:invalid").count() == 1
    assert not bodies


@pytest.mark.parametrize(
    "query",
    [
        "?seed=x&psi=y&d=1=2,x&near=n(&each=1&walk=x,y&class=Z",
        "?seed=-1",
        "?seed=99999999999&psi=9&walk=gone@1/1,gone@1/2",
        "?model=",
        "#x",
        "#99999999999",
        "#%E0%A4%A",
        "#grey@1/n(1~2)",
        "#gone@1/1",
    ],
)
def test_an_address_that_makes_no_sense_still_shows_pictures(browser: Browser, server: Server, query: str) -> None:
    with visiting(browser, f"{server.url}/{query}") as page:
        expect(page.locator("#grid img[src]")).to_have_count(COUNT)
        expect(page.locator("#one")).to_be_hidden()


def test_a_url_with_a_removed_model_says_so(browser: Browser, server: Server) -> None:
    with visiting(browser, f"{server.url}/?model=cats@3&seed=1") as page:
        expect(page.locator("#toast")).to_have_attribute("data-kind", "wrong")
        expect(page.locator("#toast .status")).to_contain_text("cats@3")
        expect(page.locator("#grid img[src]")).to_have_count(COUNT)


def test_truncation_is_drawn_as_it_is_moved_and_back_undoes_it(page: Page, server: Server) -> None:
    keep(page, 3)
    page.click("#adjust summary")
    for value in (0.5, 0.4, 0.35):  # one step
        page.locator("#psi").evaluate(
            "(psi, value) => (psi.value = value, psi.dispatchEvent(new Event('input')))", value
        )
    page.locator("#psi").evaluate(
        "psi => psi.dispatchEvent(new Event('input', {bubbles: true}))",
    )
    slide(page, "#psi", 0.35)
    expect(page).to_have_url(re.compile("psi=0.35"))
    wanted = drawn(server, seed=42, n=COUNT, truncation=0.35)
    waiting.wait_for(lambda: shown(page) == wanted)
    assert shown(page, "#kept img[src]") == drawn(server, seed=45)  # what is kept stays as it was
    page.go_back()
    before = drawn(server, seed=42, n=COUNT)
    waiting.wait_for(lambda: shown(page) == before)
    expect(page.locator("#psi")).to_have_value("1")


def test_the_truncation_slider_begins_at_the_default_of_the_model(browser: Browser, server: Server) -> None:
    asked = {"model": "moved", "seed": 5, "n": COUNT, "class": "A"}
    with showing(browser, server, "?model=moved@1&seed=5&class=A", "Seeds 5 – 16") as page:
        page.click("#adjust summary")
        expect(page.locator("#psi")).to_have_value("0.8")
        expect(page.locator("#reset")).to_be_disabled()
        assert shown(page) == drawn(server, **asked, truncation=0.8)
        slide(page, "#psi", 1)
        expect(page).to_have_url(re.compile("psi=1"))
        wanted = drawn(server, **asked, truncation=1)
        waiting.wait_for(lambda: shown(page) == wanted)
        page.click("#reset")
        expect(page).not_to_have_url(re.compile("psi="))
        expect(page.locator("#psi")).to_have_value("0.8")


def test_directions_are_sliders_with_an_address(browser: Browser, server: Server) -> None:
    with showing(browser, server, "?model=moved@1&seed=5&class=A", "Seeds 5 – 16") as page:
        page.click("#adjust summary")
        assert page.locator("#sliders label span").all_inner_texts()[1:] == ["weight", "Direction 2"]
        slide(page, "#d0", 1.5)
        expect(page).to_have_url(re.compile("d=0=1.5"))
        asked = {"model": "moved", "seed": 5, "n": COUNT, "class": "A"}
        wanted = drawn(server, **asked, directions={"0": 1.5})
        waiting.wait_for(lambda: shown(page) == wanted)
        page.reload()
        waiting.wait_for(lambda: shown(page) == wanted)
        page.click("#adjust summary")
        assert page.input_value("#d0") == "1.5"
        page.click("#reset")
        plain = drawn(server, **asked)
        waiting.wait_for(lambda: shown(page) == plain)


def test_a_model_without_settings_has_no_sliders(page: Page, server: Server) -> None:
    expect(page.locator("#adjust")).to_be_visible()
    page.check("[value='rgb@1']")
    expect(page.locator("#adjust")).to_be_hidden()
    wanted = drawn(server, model="rgb", seed=42, n=COUNT)
    waiting.wait_for(lambda: shown(page) == wanted)


def test_a_model_is_chosen_by_thumbnail_and_named_for_people(page: Page, server: Server) -> None:
    expect(page.locator(".model img").first).to_have_js_property("naturalWidth", 4 * 16)
    assert page.locator(".model .label").all_inner_texts() == ["Grey", "Kinds", "Letters", "Moved", "Rgb"]
    page.check("[value='rgb@1']")
    expect(page).to_have_url(re.compile(r"model=rgb@1&seed=42$"))
    expect(page.locator("#licence")).to_have_text("Rgb · CC0-1.0")
    page.click("#more summary")
    card = page.locator("#card").inner_text()
    for told in ("rgb@1", "noise, 1 pictures (CC0-1.0)", "20 × 24, colour", "16 numbers", "2026-01-01"):
        assert told in card
    page.go_back()
    expect(page.locator("[value='grey@1']")).to_be_checked()


def test_a_picture_never_gets_the_name_of_another_model(page: Page, server: Server) -> None:
    held: list[Route] = []
    page.route("**/generate", lambda route: held.append(route))
    page.check("[value='rgb@1']")
    waiting.wait_for(lambda: page.evaluate("1") and held)  # evaluate lets Playwright handle events
    expect(page.locator("#set")).to_have_attribute("aria-busy", "true")
    page.locator("#grid .view").first.click()  # which still shows grey@1
    opened(page, "Seed 42")
    expect(page.locator("#one-note")).to_have_text("Grey")
    assert shown(page, "#one-picture") == drawn(server, seed=42)
    page.click("#one-keep")
    assert page.evaluate("JSON.parse(localStorage['nelumbo-kept'])") == ["grey@1/42"]
    page.click("#one-close")
    held[0].continue_()
    page.unroute("**/generate")
    wanted = drawn(server, model="rgb", seed=42, n=COUNT)
    waiting.wait_for(lambda: shown(page) == wanted)


# Classes


def test_a_class_is_picked_among_two_hundred(browser: Browser, server: Server) -> None:
    with showing(browser, server, "?model=kinds@1&seed=5", "Seeds 5 – 16") as page:
        any_class = httpx.post(f"{server.url}/generate", json={"model": "kinds", "seed": 5, "n": COUNT}, headers=JSON)
        names = [one["class"] for one in any_class.json()["data"]]
        assert page.locator("#grid .name").all_inner_texts() == [
            f"{seed}, {name}" for seed, name in zip(range(5, 17), names, strict=True)
        ]
        expect(page.locator("#class-list .chip")).to_have_count(201)
        page.fill("#class-filter", "KIND 17")
        expect(page.locator("#class-list .chip:visible")).to_have_count(11)  # with "Any", which is chosen
        page.check("[value='kind 171']")
        expect(page).to_have_url(re.compile("class=kind%20171"))
        wanted = drawn(server, model="kinds", seed=5, n=COUNT, **{"class": "kind 171"})
        waiting.wait_for(lambda: shown(page) == wanted)


def test_one_style_is_drawn_in_all_classes(browser: Browser, server: Server) -> None:
    with showing(browser, server, "?model=kinds@1&seed=5", "Seeds 5 – 16") as page:
        enlarge(page, 2)
        with sent(page) as bodies:
            page.click("#each")
            wait_for(page, "7 in every class")
        expect(page.locator("#grid img[src]")).to_have_count(200)
        assert {body["seed"] for body in bodies} == {7}
        assert [name for body in bodies for name in body["classes"]] == [f"kind {number:03d}" for number in range(200)]
        expect(page).to_have_url(re.compile("each=7"))
        page.go_back()
        expect(page.locator("#one")).to_be_visible()
        wait_for(page, "Seeds 5 – 16")


def test_a_class_with_any_name_is_drawn(browser: Browser, server: Server) -> None:
    with showing(browser, server, "?model=moved@1&seed=5&class=%C3%87a", "Seeds 5 – 16") as page:
        assert shown(page) == drawn(server, model="moved", seed=5, n=COUNT, **{"class": "Ça"})
        keep(page, 0)
        enlarge(page, 0)
        opened(page, "Seed 5, Ça")
        page.reload()
        opened(page, "Seed 5, Ça")
        assert kept(page) == ["5, Ça"]


# A word

PLAY = """async ([source, type]) => {
    const bytes = Uint8Array.from(atob(source), (one) => one.charCodeAt(0));
    const video = document.body.appendChild(document.createElement("video"));
    const come = (event) => new Promise((done) => video.addEventListener(event, done, { once: true }));
    Object.assign(video, { muted: true, src: URL.createObjectURL(new Blob([bytes], { type })) });
    await come("loadeddata");
    const [width, height] = [video.videoWidth, video.videoHeight];
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const at = async (seconds) => {
        video.currentTime = seconds;
        await come("seeked");
        const context = canvas.getContext("2d");
        context.drawImage(video, 0, 0);
        return [...context.getImageData(0, 0, width, height).data].filter((_, i) => i % 4 === 0);
    };
    await at(1e9); // its end
    const seconds = video.currentTime;
    return { width, height, seconds, first: await at(0), middle: await at(seconds / 2) };
}"""


def kind_of(film: Download) -> str:
    return f"video/{film.suggested_filename.rpartition('.')[2]}"


def ink(page: Page) -> np.ndarray:
    source = page.locator("#word-canvas").evaluate("canvas => canvas.toDataURL()")
    return pixels(base64.b64decode(source.partition(",")[2]))


def test_a_word_is_set_in_the_seeds_typeface_and_downloaded(browser: Browser, server: Server) -> None:
    with showing(browser, server, "?model=letters@1&seed=7", "Seeds 7 – 18") as page:
        with sent(page) as bodies:
            page.fill("#word-field", "cab é?")
            expect(page.locator("#word-canvas")).to_have_attribute("aria-label", "CAB É, in typeface 7")
        assert [(body["seed"], body["classes"]) for body in bodies] == [(7, ["C", "A", "B", "É"])]
        download = downloaded(page, "#word-png")
        assert download.suggested_filename == "cab_é_.png"
        with Image.open(io.BytesIO(content(download))) as image:
            assert (image.format, image.mode) == ("PNG", "RGBA")
            word = np.asarray(image)
        assert word.shape[1] > 2 * word.shape[0]
        assert word[0, :, 3].max() == 0  # a margin of nothing
        assert word[..., 3].max() > 200
        assert word[word[..., 3] > 0][:, :3].max() <= 8  # black ink
        expect(page).to_have_url(re.compile("word=cab"))
        page.reload()
        expect(page.locator("#word-canvas")).to_have_attribute("aria-label", "CAB É, in typeface 7")
        page.click("#new")
        expect(page.locator("#word-canvas")).not_to_have_attribute("aria-label", "CAB É, in typeface 7")


def test_a_word_walks_to_another_typeface(browser: Browser, server: Server) -> None:
    query = "?model=letters@1&seed=7&word=ABBA&to=8"
    with showing(browser, server, query, "Seeds 7 – 18", reduced_motion="reduce") as page:
        expect(page.locator("#word-moving")).to_be_visible()
        still = ink(page)
        slide(page, "#word-place", 8)
        waiting.wait_for(lambda: not np.array_equal(ink(page), still))
        animation = downloaded(page, "#word-apng")
        with Image.open(io.BytesIO(content(animation))) as image:
            assert (image.format, image.mode, getattr(image, "n_frames", 1)) == ("PNG", "RGBA", 24)
            image.seek(8)
            np.testing.assert_array_equal(np.asarray(image)[..., 3], ink(page)[..., 3])
        film = downloaded(page, "#word-film")
        assert re.fullmatch(r"ABBA-walk\.(mp4|webm)", film.suggested_filename)
        seen = page.context.new_page().evaluate(PLAY, [base64.b64encode(content(film)).decode(), kind_of(film)])
        assert np.mean(seen["first"]) > 127  # black on white
        page.click("#word-walk")
        expect(page).not_to_have_url(re.compile("to=8$"))
        page.go_back()
        expect(page.locator("#word-canvas")).to_have_attribute("aria-label", re.compile("7 → 8 → 7"))


def test_a_word_is_set_in_any_picture_and_only_of_letters(browser: Browser, server: Server) -> None:
    with showing(browser, server, "?model=letters@1&seed=7", "Seeds 7 – 18") as page:
        enlarge(page, 3)
        page.click("#set-type")
        expect(page.locator("#one")).to_be_hidden()
        expect(page.locator("#word-canvas")).to_have_attribute("aria-label", "ABCÉ, in typeface 10")
        page.check("[value='moved@1']")
        expect(page.locator("#word")).to_be_hidden()


# One picture


def test_a_picture_is_enlarged_shared_and_closed_by_mouse_and_by_key(page: Page, server: Server) -> None:
    enlarge(page, 5)
    opened(page, "Seed 47")
    assert shown(page, "#one-picture") == drawn(server, seed=47)
    expect(page).to_have_url(re.compile("#grey@1/47$"))
    page.keyboard.press("ArrowRight")
    opened(page, "Seed 48")
    page.keyboard.press("Escape")
    expect(page.locator("#one")).to_be_hidden()
    expect(page).to_have_url(re.compile("seed=42$"))
    page.keyboard.press("Enter")  # focus is back where it was
    opened(page, "Seed 47")
    page.click("#one-close")
    expect(page.locator("#one")).to_be_hidden()
    enlarge(page, 1)
    page.go_back()
    expect(page.locator("#one")).to_be_hidden()


@pytest.mark.parametrize("fragment", ["#7", "#grey@1/7"])
def test_an_address_can_name_the_enlarged_one(browser: Browser, server: Server, fragment: str) -> None:
    with visiting(browser, f"{server.url}/{GREY}&psi=1{fragment}") as page:
        opened(page, "Seed 7")
        assert shown(page, "#one-picture") == drawn(server, seed=7)
        page.click("#one-close")
        expect(page).to_have_url(re.compile("seed=42$"))


def test_a_picture_and_its_latent_are_downloaded(browser: Browser, server: Server) -> None:
    with showing(browser, server, f"{GREY}&psi=0.8", "Seeds 42 – 53") as page:
        enlarge(page, 1)
        png = downloaded(page, "#one-png")
        wanted = drawn(server, seed=43, truncation=0.8)[0]
        assert (png.suggested_filename, content(png)) == ("grey-seed0043.png", wanted)
        large = Image.open(io.BytesIO(content(downloaded(page, "#one-large"))))
        assert large.size == (128, 128)
        page.click("#programs summary")
        latent = downloaded(page, "#one-latent")
        body = json.loads(content(latent))
        assert latent.suggested_filename == "grey-seed0043.json"
        np.testing.assert_array_equal(np.float32(body["latent"]), latents.from_seed(43, 8))
        assert pixels(drawn(server, **body | {"format": "json"})[0]).tolist() == pixels(content(png)).tolist()


def test_the_copied_curl_draws_the_same(browser: Browser, server: Server, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    permissions = ["clipboard-read", "clipboard-write"]
    query = "?model=moved@1&seed=5&class=%C3%87a&d=1=-0.5&psi=0.7#moved@1/m(5~6):%C3%87a;p0.7;d1=-0.5"
    with visiting(browser, f"{server.url}/{query}", permissions=permissions) as page:
        opened(page, "(5 + 6) / 2, Ça")
        page.click("#programs summary")
        page.click("#one-curl")
        expect(page.locator("#one .status")).to_have_text("Copied.")
        command = page.evaluate("navigator.clipboard.readText()")
        subprocess.run(command, shell=True, cwd=tmp_path, check=True)
        (file,) = tmp_path.iterdir()
        assert file.read_bytes() == shown(page, "#one-picture")[0]
        page.click("#one-close")
        page.click("#set-link")
        expect(page.locator("#toast .status")).to_have_text("Copied.")
        assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_where_there_is_no_clipboard_the_link_is_shown(page: Page) -> None:
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.default_value), dialog.dismiss()))
    page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject())")
    with page.expect_event("dialog"):
        page.click("#set-link")
    assert asked == [page.url]


# The set


def test_the_set_is_downloaded_as_zip(page: Page) -> None:
    with zipfile.ZipFile(io.BytesIO(content(downloaded(page, "#zip")))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [f"grey-seed{seed:04d}.png" for seed in range(42, 54)]
        assert [archive.read(name) for name in archive.namelist()] == shown(page)


def on_shell(given: np.ndarray) -> np.ndarray:
    """Return latents, (..., 8), of the length of √8."""
    brought: np.ndarray = given * np.sqrt(8) / np.linalg.norm(given, axis=-1, keepdims=True)
    return brought


@pytest.mark.parametrize("distance", [0.1, 1])
def test_neighbours_are_as_far_away_as_they_are_asked_to_be(page: Page, distance: float) -> None:
    page.evaluate("() => { crypto.getRandomValues = (words) => words.fill(7); }")
    original = latents.from_seed(44, 8)
    enlarge(page, 2)
    slide(page, "#distance", distance)
    with sent(page) as bodies:
        page.click("#vary")
        expect(page.locator("#one")).to_be_hidden()
        wait_for(page, "Near 44")
    given = np.array(bodies[0]["latents"])
    away, angle = [latents.from_seed(7 + i, 8) for i in range(COUNT - 1)], distance * np.pi / 2
    turned = np.cos(angle) * original + np.sin(angle) * np.array(away)
    np.testing.assert_allclose(given, on_shell(turned), atol=1e-6)  # the first, seed 44, is drawn already
    assert page.locator("#grid .name").all_inner_texts() == ["44", *["Near 44"] * (COUNT - 1)]
    before = shown(page)
    assert len(set(before)) == COUNT
    page.reload()
    wait_for(page, "Near 44")
    assert shown(page) == before
    page.go_back()
    wait_for(page, "Seeds 42 – 53")


# What is kept


def test_what_is_kept_survives_reload_and_a_change_of_model(page: Page, server: Server) -> None:
    keep(page, 2, 0)
    page.check("[value='rgb@1']")
    wanted = drawn(server, model="rgb", seed=42, n=COUNT)
    waiting.wait_for(lambda: shown(page) == wanted)
    keep(page, 1, 3, 4)
    page.reload()
    expect(page.locator("#kept img[src]")).to_have_count(5)
    assert kept(page) == ["44", "42", "43", "45", "46"]
    greys = [drawn(server, seed=seed)[0] for seed in (44, 42)]
    assert shown(page, "#kept img[src]")[:2] == greys
    expect(page.locator("#grid .mark[aria-pressed=true]")).to_have_count(3)


def test_kept_ones_are_moved_removed_and_brought_back(page: Page) -> None:
    keep(page, 0, 1, 2, 3)
    assert kept(page) == ["42", "43", "44", "45"]
    for index in (0, 1, 2):  # the first three are chosen, as they were kept
        page.locator("#kept .mark").nth(index).click()
    expect(page.locator("#remove")).to_be_disabled()
    page.locator("#kept .mark").nth(3).click()
    page.click("#left")
    page.click("#left")
    assert kept(page) == ["42", "45", "43", "44"]
    page.click("#remove")
    assert kept(page) == ["42", "43", "44"]
    page.click("#toast .act")
    assert kept(page) == ["42", "45", "43", "44"]
    page.click("#undo")
    assert kept(page) == ["42", "43", "45", "44"]
    page.locator("#grid .mark").nth(1).click()
    assert kept(page) == ["42", "45", "44"]
    page.focus("#kept .view")
    page.keyboard.press("Delete")
    assert kept(page) == ["45", "44"]
    with zipfile.ZipFile(io.BytesIO(content(downloaded(page, "#kept-zip")))) as archive:
        assert archive.namelist() == ["grey-seed0045.png", "grey-seed0044.png"]


def test_kept_ones_of_two_models_are_not_mixed(page: Page) -> None:
    keep(page, 0)
    page.check("[value='rgb@1']")
    expect(page).to_have_url(re.compile("rgb"))
    wait_for(page, "Seeds 42 – 53")
    keep(page, 0)
    expect(page.locator("#kept .mark[aria-pressed=true]")).to_have_count(1)
    page.locator("#kept .mark").nth(1).click()
    expect(page.locator("#kept .mark[aria-pressed=true]")).to_have_count(2)
    expect(page.locator("#walk")).to_be_disabled()


def test_what_storage_holds_may_be_anything(browser: Browser, server: Server) -> None:
    with showing(browser, server, GREY, "Seeds 42 – 53") as page:
        for stored in ("{", "7", '["x", 7, null, "gone@1/5", "grey@1/3", "grey@1/3"]'):
            page.evaluate("stored => localStorage.setItem('nelumbo-kept', stored)", stored)
            page.reload()
            wait_for(page, "Seeds 42 – 53")
        expect(page.locator("#kept img[src]")).to_have_count(1)  # gone@1 cannot be drawn, and stays
        assert kept(page) == ["5", "3"]


def test_two_are_averaged_and_three_are_calculated_with(page: Page) -> None:
    a, b, c = (latents.from_seed(seed, 8) for seed in (43, 51, 46))
    expect(page.locator("#mixing")).to_be_hidden()
    keep(page, 1)
    expect(page.locator("#average")).to_be_disabled()
    keep(page, 9)
    expect(page.locator("#arithmetic")).to_be_disabled()
    with sent(page) as bodies:
        page.click("#average")
        opened(page, "(43 + 51) / 2")
        page.click("#one-close")
        expect(page.locator("#one")).to_be_hidden()
        keep(page, 4)
        page.click("#arithmetic")
        opened(page, "43 − 51 + 46")
    np.testing.assert_allclose(bodies[0]["latent"], slerp(a, b, 3)[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(bodies[-1]["latent"], on_shell(a - b + c), rtol=1e-5, atol=1e-6)
    pictures = shown(page, "#one-picture")
    page.reload()  # it has an address
    opened(page, "43 − 51 + 46")
    assert shown(page, "#one-picture") == pictures
    page.click("#one-keep")
    assert page.evaluate("JSON.parse(localStorage['nelumbo-kept'])[3]") == "grey@1/c(43~51~46)"


def canvas(page: Page) -> np.ndarray:
    source = page.locator("#canvas").evaluate("canvas => canvas.toDataURL()")
    return pixels(base64.b64decode(source.partition(",")[2]))[..., 0]


def walk(page: Page, *indices: int) -> None:
    keep(page, *(indices or (0, 9)))
    page.click("#walk")
    expect(page.locator("#stage")).to_be_visible()


def test_a_walk_plays_the_loop_that_it_downloads(page: Page, server: Server) -> None:
    with sent(page) as bodies:
        walk(page)
    asked = {"model": "grey@1", "points": [42, 51], "loop": True, "steps": 48, "seconds": 4, "format": "json"}
    assert bodies == [asked]
    expect(page.locator("#stage-title")).to_have_text("42 → 51 → 42")
    before = page.evaluate("canvas.toDataURL()")
    page.wait_for_function("before => canvas.toDataURL() !== before", arg=before)
    page.click("#play")
    stopped = page.input_value("#place")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.input_value("#place") == stopped
    for place, seed in ((0, 42), (24, 51)):
        slide(page, "#place", place)
        np.testing.assert_array_equal(canvas(page), pixels(drawn(server, seed=seed)[0]))
    for extension in ("gif", "webp", "apng"):
        page.select_option("#format", extension)
        with sent(page) as bodies:
            animation = downloaded(page, "#save-walk")
        assert bodies == [asked | {"format": extension, "scale": 8}]
        assert animation.suggested_filename.startswith("seed0042-to-seed0051")
        with Image.open(io.BytesIO(content(animation))) as image:
            assert image.size == (128, 128)
            assert getattr(image, "n_frames", 1) > 8
            assert image.info.get("loop") == 0


def test_a_walk_through_three_has_an_address_and_is_closed(page: Page) -> None:
    walk(page, 0, 4, 9)
    expect(page).to_have_url(re.compile("walk=grey@1/42,grey@1/46,grey@1/51$"))
    page.reload()
    expect(page.locator("#stage-title")).to_have_text("42 → 46 → 51 → 42")
    page.click("#stage-close")
    expect(page.locator("#stage")).to_be_hidden()
    page.go_back()
    expect(page.locator("#stage")).to_be_visible()


def test_a_walk_between_classes_shows_that_of_the_nearest(browser: Browser, server: Server) -> None:
    query = "?model=moved@1&seed=5&walk=moved@1/5:A,moved@1/6:B;p0.5"
    with visiting(browser, f"{server.url}/{query}") as page, sent(page) as bodies:
        page.reload()
        expect(page.locator("#stage")).to_be_visible()
        expect(page.locator("#stage-title")).to_have_text("5, A → 6, B → 5, A")
    asked = {tuple(body["classes"]) for body in bodies if "points" in body}  # perhaps once more, for the first visit
    assert asked == {("A", "B", "B", "A")}


def test_a_walk_is_filmed_by_the_browser(page: Page, server: Server) -> None:
    walk(page)
    page.select_option("#format", "film")
    with sent(page) as bodies:
        film = downloaded(page, "#save-walk")
    assert not bodies  # it is made of the frames that are here
    assert re.fullmatch(r"grey-seed0042-to-grey-seed0051\.(mp4|webm)", film.suggested_filename)
    elsewhere = page.context.new_page()  # a page may show films here, and ours needs none
    shown = elsewhere.evaluate(PLAY, [base64.b64encode(content(film)).decode(), kind_of(film)])
    assert (shown["width"], shown["height"]) == (128, 128)
    assert 3 < shown["seconds"] < 8  # 4, and what a busy machine adds
    for name, seed in (("first", 42), ("middle", 51)):
        wanted = np.kron(pixels(drawn(server, seed=seed)[0]), np.ones((8, 8)))  # single pixels are seen
        apart = {other: np.abs(np.reshape(shown[other], (128, 128)) - wanted).mean() for other in ("first", "middle")}
        assert min(apart, key=lambda other: apart[other]) == name


def test_a_browser_without_an_encoder_says_so(browser: Browser, server: Server) -> None:
    with showing(browser, server, GREY, "Seeds 42 – 53") as page:
        page.add_init_script("delete window.MediaRecorder")
        page.reload()
        walk(page)
        expect(page.locator("#film")).to_be_disabled()
        downloaded(page, "#save-walk")


def test_it_is_said_whose_sliders_a_mixture_has(page: Page) -> None:
    page.evaluate("localStorage.setItem('nelumbo-kept', JSON.stringify(['grey@1/1', 'grey@1/2', 'grey@1/3;p0.5']))")
    page.reload()
    for index in (0, 1):
        page.locator("#kept .mark").nth(index).click()
    expect(page.locator("#kept-hint")).not_to_contain_text("truncation")
    page.locator("#kept .mark").nth(2).click()
    expect(page.locator("#kept-hint")).to_contain_text("truncation")
    with sent(page) as bodies:
        page.click("#walk")
        expect(page.locator("#stage")).to_be_visible()
    assert [body.get("truncation") for body in bodies if "points" in body] == [None]  # that of the first


def test_a_walk_waits_where_motion_is_not_wanted(browser: Browser, server: Server) -> None:
    with showing(browser, server, GREY, "Seeds 42 – 53", reduced_motion="reduce") as page:
        walk(page)
        assert page.input_value("#place") == "0"
        page.click("#play")
        expect(page.locator("#place")).not_to_have_value("0")


def test_a_walk_between_mixed_pictures_is_downloaded_too(page: Page) -> None:
    keep(page, 0, 1)
    page.click("#average")
    page.click("#one-keep")
    page.click("#one-close")
    page.locator("#kept .mark").first.click()
    page.click("#walk")
    expect(page.locator("#stage")).to_be_visible()
    with sent(page) as bodies:
        downloaded(page, "#save-walk")
    assert bodies[-1]["points"][0] == 43
    assert len(bodies[-1]["points"][1]) == 8


# A picture that is opened


def give(page: Page, name: str, data: bytes, kind: str = "image/png") -> None:
    page.set_input_files("#photo", {"name": name, "mimeType": kind, "buffer": data})


def test_a_png_that_was_drawn_here_brings_its_settings_back(page: Page, server: Server) -> None:
    asked = {"model": "moved", "seed": 9, "class": "Ça", "truncation": 0.7, "directions": {"weight": 1.5, "1": -0.5}}
    (png,) = drawn(server, **asked)
    give(page, "any.png", png)
    opened(page, "Seed 9, Ça")
    assert shown(page, "#one-picture") == [png]
    page.click("#one-close")
    expect(page.locator("[value='moved@1']")).to_be_checked()
    expect(page.locator("[value='Ça']")).to_be_checked()
    assert [page.input_value(f"#{slider}") for slider in ("psi", "d0", "d1")] == ["0.7", "1.5", "-0.5"]
    wanted = drawn(server, **asked, n=COUNT)
    waiting.wait_for(lambda: shown(page) == wanted)


def test_a_picture_is_dropped(page: Page, server: Server) -> None:
    (png,) = drawn(server, model="rgb", seed=9)
    page.evaluate(
        """source => {
            const bytes = Uint8Array.from(atob(source), (one) => one.charCodeAt(0));
            const dataTransfer = new DataTransfer();
            dataTransfer.items.add(new File([bytes], "x.png", { type: "image/png" }));
            dispatchEvent(new DragEvent("drop", { dataTransfer }));
        }""",
        base64.b64encode(png).decode(),
    )
    opened(page, "Seed 9")
    assert shown(page, "#one-picture") == [png]


def photo(size: tuple[int, int] = (90, 60)) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, "PNG")
    return file.getvalue()


def test_the_nearest_to_a_photo_is_found_and_kept(page: Page, server: Server) -> None:
    with page.expect_response("**/invert?**") as answered:
        give(page, "photo.png", photo())
    assert answered.value.request.headers["content-type"] == "image/jpeg"
    latent = answered.value.json()["latent"]
    opened(page, "Own latent")
    assert shown(page, "#one-picture") == drawn(server, latent=latent)
    page.click("#one-keep")
    page.reload()
    opened(page, "Own latent")
    assert kept(page) == ["Own latent"]


def test_a_phone_takes_a_photo(browser: Browser, server: Server) -> None:
    for context in ({"viewport": NARROW, "has_touch": True, "is_mobile": True}, {"viewport": WIDE}):
        with showing(browser, server, GREY, "Seeds 42 – 53", **context) as page:
            assert page.get_attribute("#camera", "capture") == "environment"
            if "has_touch" not in context:
                expect(page.locator("#camera-label")).to_be_hidden()
                continue
            expect(page.locator("#camera-label")).to_be_visible()
            page.set_input_files(
                "#camera", {"name": "image.jpg", "mimeType": "image/jpeg", "buffer": photo((600, 800))}
            )
            opened(page, "Own latent")
            page.click("#one-close")
            page.check("[value='rgb@1']", force=True)  # which has no encoder
            expect(page.locator("#camera-label")).to_be_hidden()


def test_a_picture_from_elsewhere_is_refused_where_there_is_no_encoder(browser: Browser, server: Server) -> None:
    with showing(browser, server, "?model=rgb@1&seed=42", "Seeds 42 – 53") as page:
        for data in (photo(), b"", b"\x89PNG\r\n\x1a\n\xff\xff\xff\xff"):
            give(page, "x.png", data)
            expect(page.locator("#toast")).to_have_attribute("data-kind", "wrong")
            page.click("#new")
            expect(page.locator("#toast")).to_have_attribute("data-kind", "done")


# A server that does not answer as it should


def test_an_exhausted_quota_is_shown_without_a_retry(browser: Browser, server: Server) -> None:
    answer = {
        "status": 429,
        "headers": {"retry-after": "3600"},
        "json": {"detail": "Rate limit exceeded."},
    }
    with showing(browser, server, GREY, "Seeds 42 – 53", errors=True) as page:
        page.route("**/generate", lambda route: route.fulfill(**answer))
        page.click("#new")
        expect(page.locator("#toast .status")).to_have_text("Rate limit exceeded.")


def test_a_busy_or_absent_server_is_waited_for_in_sight(browser: Browser, server: Server) -> None:
    with showing(browser, server, GREY, "Seeds 42 – 53", errors=True) as page:
        answers = iter(
            [
                lambda route: route.fulfill(status=503, headers={"retry-after": "2"}, json={"detail": "Full."}),
                lambda route: route.abort(),
                lambda route: route.continue_(),
            ]
        )
        page.route("**/generate", lambda route: next(answers)(route))
        page.click("#new")
        expect(page.locator("#toast")).to_have_attribute("data-kind", "wait")
        expect(page.locator("#toast .count")).to_contain_text("1 s")  # it counts
        expect(page.locator("#toast .status")).to_contain_text("cannot be reached")
        page.click("#toast .act")  # try now
        expect(page.locator("#set-title")).not_to_have_text("Seeds 42 – 53")
        expect(page.locator("#toast")).to_have_attribute("data-kind", "done")


def test_thumbnails_load_if_the_first_images_are_not_waited_for(browser: Browser, server: Server) -> None:
    with showing(browser, server, GREY, "Seeds 42 – 53") as page:
        held: list[Route] = []
        page.route("**/generate", lambda route: route.continue_() if held else held.append(route))
        page.reload()
        expect(page.locator(".model img").last).to_have_attribute("src", "models/rgb@1/thumbnail.png")
        page.click("#new")
        expect(page.locator("#grid img[src]")).to_have_count(COUNT)


def test_the_page_shows_the_servers_error(browser: Browser, server: Server) -> None:
    with showing(browser, server, GREY, "Seeds 42 – 53", errors=True) as page:
        page.route("**/generate", lambda route: route.fulfill(status=504, json={"detail": "Not drawn in time."}))
        page.click("#new")
        expect(page.locator("#toast .status")).to_have_text("Not drawn in time.")
        expect(page.locator("#set-title")).to_have_text("Seeds 42 – 53")  # which are what is shown


def test_a_server_that_draws_few_at_once_is_not_asked_for_more(browser: Browser, models: Path, tmp_path: Path) -> None:
    with (
        serving(tmp_path / "log", models=models, max_images=5) as few,
        showing(browser, few, GREY, "Seeds 42 – 46") as page,
    ):
        walk(page, 0, 2, 4)


# The card

README = """# Tiny, version 1

Nobody's pictures, **for tests** of `make test`, as [RFC 3](https://www.rfc-editor.org/rfc/rfc3) has it.

| | |
|---|---|
| licence | CC0 <img src=x onerror="document.title = 'taken'"> |

| | samples | real images | collapsed |
|---|---|---|---|
| copies | 0% | 7% | 0.017 |

    python -m training evaluate a-very-long-path/to/some/models/tiny/1/model.onnx --data a-very-long-path/to/photos

- one
- [two](javascript:alert(1))
"""


def test_what_a_models_makers_say_is_read_on_the_page(browser: Browser, tmp_path: Path) -> None:
    (tiny.write(tmp_path / "models", tiny.card("a")) / "README.md").write_text(README)
    tiny.write(tmp_path / "models", tiny.card("b"))
    with (
        serving(tmp_path / "log", models=tmp_path / "models") as server,
        visiting(browser, f"{server.url}/?model=a@1&seed=42&psi=1") as page,
    ):
        wait_for(page, "Seeds 42 – 53")
        assert page.locator("#readme").inner_text() == ""
        page.focus("#more summary")
        page.keyboard.press("Enter")
        expect(page.locator("#readme h3")).to_have_text("Tiny, version 1")
        assert page.locator("#readme strong").inner_text() == "for tests"
        assert page.locator("#readme a").evaluate_all("links => links.map(a => a.href)") == [
            "https://www.rfc-editor.org/rfc/rfc3"
        ]
        assert page.locator("#readme tr").all_inner_texts()[1:] == [
            "\tsamples\treal images\tcollapsed",
            "copies\t0%\t7%\t0.017",
        ]
        assert "<img src=x" in page.locator("#readme tr").first.inner_text()
        assert page.locator("#readme th[scope=row]").all_inner_texts() == ["licence", "copies"]
        assert page.locator("#readme li").all_inner_texts() == ["one", "[two](javascript:alert(1))"]
        assert page.locator("#readme pre").inner_text().startswith("python -m training")
        assert page.title() == "Nelumbo"
        for width in (320, 390, 1440):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") == width
        found = Axe().run(page)
        assert not found.violations_count, found.generate_report()
        page.locator(".model input").nth(1).check(force=True)
        expect(page.locator("#readme")).to_have_text("This model has no README.md.")


# Who looks at it, and with what


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [NARROW, WIDE])
def test_axe_finds_nothing(browser: Browser, server: Server, scheme: str, size: dict[str, int]) -> None:
    query = "?model=letters@1&seed=42&word=ABC&to=3"
    context = {"color_scheme": scheme, "viewport": size, "reduced_motion": "reduce"}
    with showing(browser, server, query, "Seeds 42 – 53", **context) as page:
        walk(page)
        expect(page.locator("#word-moving")).to_be_visible()

        def enlarged() -> None:
            enlarge(page, 3)
            page.click("#programs summary")

        for prepare in (lambda: None, enlarged):
            prepare()
            found = Axe().run(page)
            assert not found.violations_count, found.generate_report()


@pytest.mark.parametrize("width", [320, 390, 820, 1000, 1280, 1920, 2560])
def test_nothing_is_wider_than_the_screen(browser: Browser, server: Server, width: int) -> None:
    size = {"width": width, "height": 800}
    with showing(browser, server, "?model=letters@1&seed=4&word=ABC&to=3", "Seeds 4 – 15", viewport=size) as page:
        walk(page)
        expect(page.locator("#word-moving")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        enlarge(page, 0)
        assert page.locator("#one").evaluate("one => one.scrollWidth <= one.clientWidth")


def test_on_a_phone_pictures_and_draw_are_on_the_first_screen(browser: Browser, server: Server) -> None:
    with showing(browser, server, GREY, "Seeds 42 – 53", viewport=NARROW, has_touch=True, is_mobile=True) as page:
        for selector in ("#grid .view >> nth=5", "#new", "#seed", ".model >> nth=0"):
            box = page.locator(selector).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= NARROW["height"], selector
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(page.locator("#new")).to_be_in_viewport()
        small = page.locator("button:visible, .chip:visible, .model:visible, summary:visible").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect()).filter(box => box.height < 38 || box.width < 38).length"
        )
        assert small == 0


def test_on_a_large_screen_the_pictures_are_the_largest_thing(browser: Browser, server: Server) -> None:
    size = {"width": 1920, "height": 1080}
    with showing(browser, server, GREY, "Seeds 42 – 53", viewport=size) as page:
        box = page.locator("#grid").bounding_box()
        assert box is not None
        assert box["width"] > size["width"] / 2
        assert box["y"] + box["height"] <= size["height"]  # all of them are seen


def test_everything_is_done_without_a_mouse(page: Page) -> None:
    def focused() -> str:
        return str(page.evaluate("document.activeElement.id || document.activeElement.className"))

    page.focus("#seed")
    order = []
    for _ in range(6):
        page.keyboard.press("Tab")
        order.append(focused())
    assert order == ["new", "", "zip", "set-link", "view", "mark"]  # "" is the summary of the sliders
    page.keyboard.press("Shift+Tab")
    for key in ("ArrowRight", "ArrowDown", "k", "ArrowLeft", "ArrowLeft", "K"):
        page.keyboard.press(key)
    assert kept(page) == ["47", "45"]
    page.keyboard.press("Enter")
    opened(page, "Seed 45")
    page.keyboard.press("Escape")
    expect(page.locator("#one")).to_be_hidden()
    assert focused() == "view"
    page.focus("#walk")
    page.keyboard.press("Enter")
    expect(page.locator("#stage")).to_be_visible()
    page.focus("#kept .view")
    page.keyboard.press("Delete")
    page.keyboard.press("Delete")
    assert kept(page) == []


def test_a_browser_that_opens_json_finds_an_icon(browser: Browser, server: Server) -> None:
    with visiting(browser, f"{server.url}/models") as page:  # which must log no error
        page.wait_for_load_state("networkidle")
        icon = page.request.get(f"{server.url}/favicon.ico")  # where a browser looks for it by itself
        assert icon.status == 200
        assert icon.headers["content-type"].startswith("image/")


def test_the_whole_page_is_at_most_150_kb(browser: Browser, server: Server) -> None:
    requests: list[Request] = []
    with visiting(browser, f"{server.url}/models") as page:
        page.on("requestfinished", lambda request: requests.append(request))
        page.goto(server.url)
        expect(page.locator(".model img[src]")).to_have_count(5)
        page.wait_for_load_state("networkidle")
        sizes: Counter[str] = Counter()
        for request in requests:
            if request.method == "GET" and not request.url.endswith(".png"):
                sizes[urlsplit(request.url).path] += request.sizes()["responseBodySize"]
    parts = {f"/page/{path.name}" for path in (ROOT / "service" / "web" / "page").iterdir()} - {
        "/page/index.html",
        "/page/docs.js",
    }
    assert set(sizes) == parts | {"/", "/models"}
    assert all(sizes.values())
    assert sizes.total() <= 150_000


# The numbers


def test_the_page_makes_the_latents_that_numpy_makes(page: Page) -> None:
    rng = np.random.default_rng(0)
    cases = [(0, 1), (1, 7), (2**31, 64), (2**32 - 1, 1000), *((int(s), 64) for s in rng.integers(2**32, size=200))]
    made = page.evaluate(
        """async cases => {
            const { fromSeed } = await import("/page/latents.js");
            return cases.map(([seed, size]) => [...fromSeed(seed, size)]);
        }""",
        cases,
    )
    for (seed, size), latent in zip(cases, made, strict=True):
        np.testing.assert_array_equal(np.float32(latent), latents.from_seed(seed, size))
