"""Draw docs/page-*.png anew, with ``make serve`` running: ``python -m tests.e2e.screenshots``."""

import io
import sys

from PIL import Image
from playwright.sync_api import expect

from tests.e2e.browser import browsing, visiting
from tests.e2e.server import ROOT

SCREENS = {"narrow": (390, 844, "dark"), "wide": (1920, 1080, "light")}

COLOURS = 256  # keep the files small


def main(url: str) -> None:
    with browsing() as browser:
        for name, (width, height, scheme) in SCREENS.items():
            context = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
            with visiting(browser, f"{url}/?model=cats&seed=42", reduced_motion="reduce", **context) as page:
                for index in (0, 6, 9):
                    page.locator("#grid .mark").nth(index).dispatch_event("click")
                page.click("#walk")
                expect(page.locator("#stage")).to_be_visible()
                expect(page.locator(".model img[src]").first).to_be_visible()
                page.locator("#place").fill("8")
                page.mouse.move(0, 0)
                picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
                picture.thumbnail((1440, 1440))
                palette = picture.quantize(COLOURS)
                picture.quantize(palette=palette).save(
                    ROOT / "docs" / f"page-{name}.png", optimize=True
                )  # with dithering


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["http://127.0.0.1:3000"]))
