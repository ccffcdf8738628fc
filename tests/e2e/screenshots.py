"""Draw docs/page-*.png anew, with ``make serve`` running: ``python -m tests.e2e.screenshots``."""

import sys

from playwright.sync_api import expect

from tests.e2e.browser import browsing, visiting
from tests.e2e.server import ROOT

SCREENS = {"narrow": (390, 844, "dark"), "wide": (1440, 900, "light")}


def main(url: str) -> None:
    with browsing() as browser:
        for name, (width, height, scheme) in SCREENS.items():
            context = {"viewport": {"width": width, "height": height}, "color_scheme": scheme}
            with visiting(browser, f"{url}/?model=digits@1&seed=42&psi=1", reduced_motion="reduce", **context) as page:
                for index in (1, 7, 9):
                    page.locator("#grid .keep").nth(index).dispatch_event("click")
                page.click("#walk")
                expect(page.locator("#stage")).to_be_visible()
                expect(page.locator(".model img[src]").first).to_be_visible()
                page.locator("#place").fill("0.45")
                page.mouse.move(0, 0)
                page.screenshot(path=ROOT / "docs" / f"page-{name}.png", full_page=True)


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["http://127.0.0.1:3000"]))
