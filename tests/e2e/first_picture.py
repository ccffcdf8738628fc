"""How soon is the first picture there? With ``make serve`` running: ``python -m tests.e2e.first_picture``.

Each visit has an empty cache. Time runs from the start of the navigation to the first of the twelve pictures, decoded,
and to the last.
"""

import statistics
import sys

from playwright.sync_api import expect

from tests.e2e.browser import browsing, visiting

VISITS = 10
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
WATCH = """
window.times = [];
new MutationObserver(() => {
    const images = [...document.querySelectorAll("#grid img[src]")].filter((one) => !one.seen);
    for (const image of images) {
        image.seen = true;
        image.decode().then(() => window.times.push(performance.now()));
    }
}).observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["src"] });
"""


def main(url: str) -> None:
    """Print the medians and the worst, in milliseconds."""
    firsts, lasts = [], []
    with browsing() as browser:
        for _ in range(VISITS):
            with visiting(browser, f"{url}/healthz", **PHONE) as page:
                page.add_init_script(WATCH)
                page.goto(url)
                expect(page.locator("#grid img[src]")).to_have_count(12)
                page.wait_for_function("times.length >= 12")
                times = page.evaluate("times")
                firsts.append(times[0])
                lasts.append(max(times))
    for name, values in (("first picture", firsts), ("all twelve", lasts)):
        print(f"{name}: median {statistics.median(values):.0f} ms, worst of {VISITS} {max(values):.0f} ms")


if __name__ == "__main__":
    main(*(sys.argv[1:] or ["http://127.0.0.1:3000"]))
