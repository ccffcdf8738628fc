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

GREY = "?model=grey@1&seed=42&psi=1"
JSON = {"accept": "application/json"}
INTERPOLATION = {"model": "grey@1", "from": 42, "to": 51, "steps": 48, "format": "json"}
NARROW = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as running:
        yield running


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The page with seeds 42 to 57 of grey@1."""
    with visiting(browser, f"{server.url}/{GREY}") as opened:
        wait_for(opened, "Seeds 42 – 57")
        yield opened


def wait_for(page: Page, title: str) -> None:
    expect(page.locator("#set-title")).to_have_text(title)
    expect(page.locator("#set")).to_have_attribute("aria-busy", "false")


def shown(page: Page, within: str = "#grid .view img") -> list[bytes]:
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
        page.locator("#grid .keep").nth(index).click()


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


# What is drawn


def test_the_page_shows_what_the_server_draws(page: Page, server: Server) -> None:
    assert shown(page) == drawn(server, seed=42, n=16)
    assert page.locator("#grid span").all_inner_texts() == [str(seed) for seed in range(42, 58)]


def test_a_first_visit_draws_seeds_that_its_address_then_shares(browser: Browser, server: Server) -> None:
    with visiting(browser, server.url) as page:
        expect(page.locator("#grid img")).to_have_count(16)
        pictures, address = shown(page), page.url
        assert re.search(r"\?model=grey@1&seed=\d+&psi=1$", address)
        page.click("#new")
        expect(page.locator("#grid img").first).not_to_have_attribute(
            "src", f"data:image/png;base64,{base64.b64encode(pictures[0]).decode()}"
        )
    with visiting(browser, address) as page:
        expect(page.locator("#grid img")).to_have_count(16)
        assert shown(page) == pictures


def test_a_seed_is_edited_and_back_goes_to_the_one_before(page: Page, server: Server) -> None:
    page.fill("#seed", "4294967290")
    page.press("#seed", "Enter")
    wait_for(page, "Seeds 4294967290 – 9")
    assert shown(page) == drawn(server, seed=4294967290, n=16)
    page.go_back()
    wait_for(page, "Seeds 42 – 57")
    assert page.input_value("#seed") == "42"


@pytest.mark.parametrize("seed", ["", "-1", "4294967296", "1.5"])
def test_an_invalid_seed_is_reported_by_the_page_without_a_request(page: Page, seed: str) -> None:
    page.fill("#seed", seed)
    with sent(page) as bodies:
        page.click("text=Show")
        assert page.locator("#seed:invalid").count() == 1
    assert not bodies


@pytest.mark.parametrize(
    "query", ["?seed=x&psi=y", "?seed=-1", "?seed=99999999999&psi=9", "?model=", "#x", "#99999999999"]
)
def test_an_address_that_makes_no_sense_still_shows_pictures(browser: Browser, server: Server, query: str) -> None:
    with visiting(browser, f"{server.url}/{query}") as page:
        expect(page.locator("#grid img")).to_have_count(16)


def test_a_url_with_a_removed_model_says_so(browser: Browser, server: Server) -> None:
    with visiting(browser, f"{server.url}/?model=cats@3&seed=1") as page:
        expect(page.locator("#status")).to_have_text("cats@3 is not served here. This is grey@1.")


def test_truncation_is_drawn_as_it_is_moved(page: Page, server: Server) -> None:
    keep(page, 3)
    slide(page, "#psi", 0.35)
    expect(page).to_have_url(re.compile("psi=0.35"))
    grid, kept = drawn(server, seed=42, n=16, truncation=0.35), drawn(server, seed=45, truncation=0.35)
    waiting.wait_for(lambda: shown(page) == grid)
    waiting.wait_for(lambda: shown(page, "#kept img[src]") == kept)


def test_a_model_without_a_centre_has_no_slider(page: Page) -> None:
    expect(page.locator("#psi")).to_be_visible()
    slide(page, "#psi", 0.5)
    with sent(page) as bodies:
        page.check("[value='rgb@1']")
        wait_for(page, "Seeds 42 – 57")
        expect(page.locator("#psi")).to_be_hidden()
    assert bodies[-1]["truncation"] == 1


def test_a_model_is_chosen_by_thumbnail_and_card(page: Page, server: Server) -> None:
    for i, width in enumerate((4 * 16, 4 * 20)):
        expect(page.locator(".model img").nth(i)).to_have_js_property("naturalWidth", width)
    keep(page, 0)
    page.check("[value='rgb@1']")
    wait_for(page, "Seeds 42 – 57")
    expect(page).to_have_url(re.compile("model=rgb@1&seed=42"))
    assert shown(page) == drawn(server, model="rgb", seed=42, n=16)
    expect(page.locator("#kept li:not(.empty)")).to_have_count(0)
    card = page.locator("#card").inner_text()
    for told in ("rgb@1", "noise, 1 pictures (CC0-1.0)", "20 × 24, colour", "16 numbers", "2026-01-01"):
        assert told in card


# One picture


def test_a_picture_is_enlarged_shared_and_closed_by_mouse_and_by_key(page: Page, server: Server) -> None:
    enlarge(page, 5)
    expect(page.locator("#one-title")).to_have_text("Seed 47")
    assert shown(page, "#one-picture") == drawn(server, seed=47)
    expect(page).to_have_url(re.compile("#47$"))
    page.keyboard.press("ArrowRight")
    expect(page.locator("#one-title")).to_have_text("Seed 48")
    page.keyboard.press("Escape")
    expect(page.locator("#one")).to_be_hidden()
    expect(page).to_have_url(re.compile("psi=1$"))
    page.keyboard.press("Enter")  # focus is back where it was
    expect(page.locator("#one-title")).to_have_text("Seed 47")
    page.click("#one-close")
    expect(page.locator("#one")).to_be_hidden()


def test_an_address_can_name_the_enlarged_one(browser: Browser, server: Server) -> None:
    with visiting(browser, f"{server.url}/{GREY}#7") as page:
        expect(page.locator("#one-title")).to_have_text("Seed 7")
        assert shown(page, "#one-picture") == drawn(server, seed=7)


def test_a_picture_and_its_latent_are_downloaded(page: Page, server: Server) -> None:
    slide(page, "#psi", 0.8)
    grid = drawn(server, seed=42, n=16, truncation=0.8)
    waiting.wait_for(lambda: shown(page) == grid)
    enlarge(page, 1)
    png = downloaded(page, "#one-png")
    assert (png.suggested_filename, content(png)) == ("seed0043.png", drawn(server, seed=43, truncation=0.8)[0])
    latent = downloaded(page, "#one-latent")
    body = json.loads(content(latent))
    assert latent.suggested_filename == "seed0043.json"
    np.testing.assert_array_equal(np.float32(body["latent"]), latents.from_seed(43, 8))
    assert pixels(drawn(server, **body)[0]).tolist() == pixels(content(png)).tolist()


def test_the_copied_curl_draws_the_same(browser: Browser, server: Server, tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    with visiting(browser, f"{server.url}/{GREY}", permissions=["clipboard-read", "clipboard-write"]) as page:
        wait_for(page, "Seeds 42 – 57")

        def run() -> None:
            subprocess.run(page.evaluate("navigator.clipboard.readText()"), shell=True, cwd=tmp_path, check=True)

        page.click("#set-curl")
        expect(page.locator("#status")).to_have_text("Copied.")
        run()
        sheet = httpx.post(f"{server.url}/generate", json={"model": "grey", "seed": 42, "n": 16}).content
        assert (tmp_path / "sheet.png").read_bytes() == sheet
        keep(page, 0, 1)
        page.click("#average")
        page.click("#one-curl")
        expect(page.locator("#one-status")).to_have_text("Copied.")
        run()
        assert (tmp_path / "latent.png").read_bytes() == shown(page, "#one-picture")[0]


def test_where_there_is_no_clipboard_the_curl_is_shown(page: Page) -> None:
    asked: list[str] = []
    page.on("dialog", lambda dialog: (asked.append(dialog.default_value), dialog.dismiss()))
    page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject())")
    with page.expect_event("dialog"):
        page.click("#set-curl")
    assert asked[0].startswith("curl --json")


# The set


def test_the_set_is_downloaded_as_zip(page: Page, server: Server) -> None:
    zipped = downloaded(page, "#zip")
    assert zipped.suggested_filename == "seed0042-seed0057.zip"
    with zipfile.ZipFile(io.BytesIO(content(zipped))) as archive:
        assert [archive.read(name) for name in archive.namelist()] == shown(page)


def on_shell(given: np.ndarray) -> np.ndarray:
    """Return latents, (..., 8), of the length of √8."""
    brought: np.ndarray = given * np.sqrt(8) / np.linalg.norm(given, axis=-1, keepdims=True)
    return brought


def test_neighbours_are_as_far_away_as_they_are_asked_to_be(page: Page) -> None:
    page.evaluate("() => { let seed = 0; crypto.getRandomValues = (words) => words.fill(seed++); }")
    original = latents.from_seed(44, 8)
    for i, distance in enumerate((0.1, 1)):
        enlarge(page, 2 if distance == 0.1 else 0)
        slide(page, "#distance", distance)
        with sent(page) as bodies:
            page.click("#vary")
            expect(page.locator("#one")).to_be_hidden()
            wait_for(page, "Near Seed 44")
        given = np.array(bodies[0]["latents"])
        np.testing.assert_array_equal(np.float32(given[0]), original)
        away, angle = [latents.from_seed(15 * i + j, 8) for j in range(15)], distance * np.pi / 2
        turned = np.cos(angle) * original + np.sin(angle) * np.array(away)
        np.testing.assert_allclose(given[1:], on_shell(turned), atol=1e-6)
        assert len(set(shown(page))) == 16
    assert page.locator("#grid span").all_inner_texts() == ["44", *["≈44"] * 15]


# What is kept


def test_up_to_three_are_kept_and_put_back(page: Page) -> None:
    expect(page.locator("#walk")).to_be_disabled()
    keep(page, 2, 0)
    expect(page.locator("#walk")).to_be_enabled()
    expect(page.locator("#arithmetic")).to_be_disabled()
    keep(page, 5)
    assert page.locator("#kept span").all_inner_texts() == ["44", "42", "47"]
    keep(page, 7)
    expect(page.locator("#status")).to_have_text("a, b and c are taken: remove one first.")
    page.locator("#kept .keep").first.click()
    expect(page.locator("#kept li:not(.empty)")).to_have_count(2)
    expect(page.locator("#grid [aria-pressed=true]")).to_have_count(2)
    enlarge(page, 7)
    page.click("#one-keep")
    expect(page.locator("#one-keep")).to_have_attribute("data-letter", "c")


def test_two_are_averaged_and_three_are_calculated_with(page: Page) -> None:
    a, b, c = (latents.from_seed(seed, 8) for seed in (43, 51, 46))
    keep(page, 1, 9, 4)
    with sent(page) as bodies:
        page.click("#average")
        expect(page.locator("#one-title")).to_have_text("(43 + 51) / 2")
        page.keyboard.press("Escape")
        page.click("#arithmetic")
        expect(page.locator("#one-title")).to_have_text("43 − 51 + 46")
    np.testing.assert_allclose(bodies[0]["latent"], slerp(a, b, 3)[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(bodies[1]["latent"], on_shell(a - b + c), rtol=1e-5, atol=1e-6)


def canvas(page: Page) -> np.ndarray:
    source = page.locator("#canvas").evaluate("canvas => canvas.toDataURL()")
    return pixels(base64.b64decode(source.partition(",")[2]))[..., 0]


def walk(page: Page) -> None:
    keep(page, 0, 9)
    page.click("#walk")
    expect(page.locator("#stage")).to_be_visible()


def test_an_interpolation_plays_from_one_image_to_the_other(page: Page, server: Server) -> None:
    with sent(page) as bodies:
        walk(page)
    expect(page.locator("#stage-title")).to_have_text("From 42 to 51 and back")
    a, b = (latents.from_seed(seed, 8) for seed in (42, 51))
    frames = [latent for body in bodies for latent in body["latents"]]
    np.testing.assert_allclose(frames, slerp(a, b, 48), rtol=1e-5, atol=1e-6)
    walked = [png for body in bodies for png in drawn(server, **body)]
    interpolated = httpx.post(f"{server.url}/interpolate", json=INTERPOLATION).json()["data"]
    assert len(walked) == len(interpolated) == 48
    for png, one in zip(walked, interpolated, strict=True):
        assert np.abs(pixels(png) - pixels(base64.b64decode(one["b64_json"]))).max() <= 1
    page.wait_for_function("before => canvas.toDataURL() !== before", arg=page.evaluate("canvas.toDataURL()"))
    page.click("text=Pause")
    stopped = page.input_value("#place")
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert page.input_value("#place") == stopped
    for place, seed in ((0, 42), (1, 51)):
        slide(page, "#place", place)
        np.testing.assert_array_equal(canvas(page), pixels(drawn(server, seed=seed)[0]))


def test_a_walk_follows_the_truncation(page: Page, server: Server) -> None:
    walk(page)
    slide(page, "#place", 1)
    slide(page, "#psi", 0.5)
    wanted = pixels(drawn(server, seed=51, truncation=0.5)[0])
    waiting.wait_for(lambda: np.array_equal(canvas(page), wanted))


def test_a_walk_waits_where_motion_is_not_wanted(browser: Browser, server: Server) -> None:
    with visiting(browser, f"{server.url}/{GREY}", reduced_motion="reduce") as page:
        wait_for(page, "Seeds 42 – 57")
        walk(page)
        assert page.input_value("#place") == "0"
        page.click("text=Play")
        expect(page.locator("#place")).not_to_have_value("0")


def test_a_walk_is_downloaded_as_an_animation(page: Page, server: Server) -> None:
    walk(page)
    with sent(page) as bodies:
        animation = downloaded(page, "#save-walk")
    assert bodies == [{"model": "grey@1", "truncation": 1, "from": 42, "to": 51, "steps": 48, "format": "webp"}]
    assert animation.suggested_filename.endswith(".webp")
    with Image.open(io.BytesIO(content(animation))) as image:
        assert (image.format, image.size) == ("WEBP", (16, 16))
        assert image.n_frames > 40  # equal neighbours are one frame


def test_a_walk_between_mixed_pictures_is_downloaded_too(page: Page) -> None:
    keep(page, 0, 1)
    page.click("#average")
    page.click("#one-keep")
    page.keyboard.press("Escape")
    page.locator("#kept .keep").first.click()
    page.click("#walk")
    with sent(page) as bodies:
        downloaded(page, "#save-walk")
    assert bodies[-1]["from"] == 43
    assert len(bodies[-1]["to"]) == 8


# A server that does not answer as it should


def test_an_exhausted_quota_is_shown_without_a_retry(browser: Browser, server: Server) -> None:
    answer = {
        "status": 429,
        "headers": {"retry-after": "3600"},
        "json": {"detail": "Rate limit exceeded."},
    }
    with visiting(browser, f"{server.url}/{GREY}", errors=True) as page:
        wait_for(page, "Seeds 42 – 57")
        page.route("**/generate", lambda route: route.fulfill(**answer))
        page.click("#new")
        expect(page.locator("#status")).to_have_text("Rate limit exceeded.")


def test_a_busy_or_absent_server_is_waited_for(browser: Browser, server: Server) -> None:
    with visiting(browser, f"{server.url}/{GREY}", errors=True) as page:
        wait_for(page, "Seeds 42 – 57")
        answers = iter(
            [
                lambda route: route.fulfill(status=503, headers={"retry-after": "2"}, json={"detail": "Full."}),
                lambda route: route.abort(),
                lambda route: route.continue_(),
            ]
        )
        page.route("**/generate", lambda route: next(answers)(route))
        page.evaluate(
            """() => {
                window.said = [];
                const status = document.getElementById("status");
                new MutationObserver(() => said.push(status.textContent)).observe(status, { childList: true });
            }"""
        )
        page.click("#new")
        expect(page.locator("#set-title")).not_to_have_text("Seeds 42 – 57")
        assert [text for text in page.evaluate("said") if "Trying" in text] == [
            "The server is busy. Trying again in 2 s.",
            "The server cannot be reached. Trying again in 2 s.",
        ]
        assert page.locator("#status").get_attribute("data-kind") == "done"


def test_thumbnails_load_if_the_first_images_are_not_waited_for(browser: Browser, server: Server) -> None:
    with visiting(browser, f"{server.url}/{GREY}") as page:
        held: list[Route] = []
        page.route("**/generate", lambda route: route.continue_() if held else held.append(route))
        page.reload()
        expect(page.locator(".model")).to_have_count(2)
        page.click("#new")
        expect(page.locator(".model img").last).to_have_attribute("src", "models/rgb@1/thumbnail.png")


def test_the_page_shows_the_servers_error(browser: Browser, server: Server) -> None:
    with visiting(browser, f"{server.url}/{GREY}", errors=True) as page:
        wait_for(page, "Seeds 42 – 57")
        page.route("**/generate", lambda route: route.fulfill(status=504, json={"detail": "Not drawn in time."}))
        page.click("#new")
        expect(page.locator("#status")).to_have_text("Not drawn in time.")


def test_a_server_that_draws_few_at_once_is_not_asked_for_more(browser: Browser, models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, max_images=5) as few, visiting(browser, f"{few.url}/{GREY}") as page:
        wait_for(page, "Seeds 42 – 46")
        keep(page, 0, 4)
        page.click("#walk")
        expect(page.locator("#stage")).to_be_visible()


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


@pytest.mark.parametrize("size", [{"width": 320, "height": 640}, NARROW, {"width": 1440, "height": 900}])
def test_what_a_models_makers_say_is_read_on_the_page(browser: Browser, tmp_path: Path, size: dict[str, int]) -> None:
    (tiny.write(tmp_path / "models", tiny.card("a")) / "README.md").write_text(README)
    tiny.write(tmp_path / "models", tiny.card("b"))
    with (
        serving(tmp_path / "log", models=tmp_path / "models") as server,
        visiting(browser, f"{server.url}/?model=a@1&seed=42&psi=1", viewport=size) as page,
    ):
        wait_for(page, "Seeds 42 – 57")
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
        found = Axe().run(page)
        assert not found.violations_count, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth") == size["width"]
        page.locator(".model input").nth(1).check(force=True)
        expect(page.locator("#readme")).to_have_text("This model has no README.md.")


# Who looks at it, and with what


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [NARROW, {"width": 1440, "height": 900}])
def test_axe_finds_nothing(browser: Browser, server: Server, scheme: str, size: dict[str, int]) -> None:
    with visiting(browser, f"{server.url}/{GREY}", color_scheme=scheme, viewport=size, reduced_motion="reduce") as page:
        wait_for(page, "Seeds 42 – 57")
        walk(page)
        for prepare in (lambda: None, lambda: enlarge(page, 3)):
            prepare()
            found = Axe().run(page)
            assert not found.violations_count, found.generate_report()


@pytest.mark.parametrize("width", [320, 390, 800, 1200, 2560])
def test_nothing_is_wider_than_the_screen(browser: Browser, server: Server, width: int) -> None:
    with visiting(browser, f"{server.url}/{GREY}", viewport={"width": width, "height": 800}) as page:
        wait_for(page, "Seeds 42 – 57")
        walk(page)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        enlarge(page, 0)
        assert page.locator("#one").evaluate("one => one.scrollWidth <= one.clientWidth")


def test_everything_is_done_without_a_mouse(page: Page) -> None:
    def focused() -> str:
        return str(page.evaluate("document.activeElement.id || document.activeElement.className"))

    page.focus("#seed")
    order = []
    for _ in range(7):
        page.keyboard.press("Tab")
        order.append(focused())
    assert order == ["", "new", "psi", "zip", "set-curl", "view", "keep"]
    page.keyboard.press("Shift+Tab")
    for key in ("ArrowRight", "ArrowDown", "k", "ArrowLeft", "ArrowLeft", "K"):
        page.keyboard.press(key)
    assert page.locator("#kept span").all_inner_texts()[:2] == ["47", "45"]
    page.keyboard.press("Enter")
    expect(page.locator("#one-title")).to_have_text("Seed 45")
    assert focused() == "one-keep"
    page.keyboard.press("Escape")
    expect(page.locator("#one")).to_be_hidden()
    assert focused() == "view"
    page.focus("#walk")
    page.keyboard.press("Enter")
    expect(page.locator("#stage")).to_be_visible()
    page.focus("#kept .keep")
    page.keyboard.press("Space")
    page.keyboard.press("Space")
    expect(page.locator("#kept li:not(.empty)")).to_have_count(0)


def test_a_browser_that_opens_json_finds_an_icon(browser: Browser, server: Server) -> None:
    with visiting(browser, f"{server.url}/models") as page:  # which must log no error
        page.wait_for_load_state("networkidle")
        icon = page.request.get(f"{server.url}/favicon.ico")  # where a browser looks for it by itself
        assert icon.status == 200
        assert icon.headers["content-type"].startswith("image/")


def test_the_whole_page_is_at_most_100_kb(browser: Browser, server: Server) -> None:
    requests: list[Request] = []
    with visiting(browser, f"{server.url}/models") as page:
        page.on("requestfinished", lambda request: requests.append(request))
        page.goto(server.url)
        expect(page.locator(".model img[src]")).to_have_count(2)
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
    assert sizes.total() <= 100_000


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
