"""The forms of /docs, in a browser."""

from playwright.sync_api import Locator, Page, expect

from tests.e2e.browser import browsing, visiting
from tests.e2e.server import Server


def test_each_form_sends_its_request_and_shows_the_answer(server: Server) -> None:
    with browsing() as browser, visiting(browser, f"{server.url}/docs", errors=True) as page:
        assert send(page, "POST", "generate").startswith("200")
        expect(form(page, "POST", "generate").locator("output img")).to_be_visible()
        form(page, "POST", "generate").locator("textarea").fill('{"seed": -1}')
        assert "/problems/invalid-field" in send(page, "POST", "generate")
        assert '"default":"grey@1"' in send(page, "GET", "models")
        expect(form(page, "GET", "images/grey@1/42.png")).to_be_visible()  # not digits@1, which is not served here


def form(page: Page, method: str, path: str) -> Locator:
    fields = page.locator(f'form[data-method="{method}"]')
    index = fields.evaluate_all(
        "(forms, path) => forms.findIndex((one) => one.elements.path.value.replace(/^./, '') === path)", path
    )
    return fields.nth(index)


def send(page: Page, method: str, path: str) -> str:
    chosen = form(page, method, path)
    chosen.locator("output").evaluate("(output) => output.replaceChildren()")
    chosen.locator("button").click()
    expect(chosen.locator("output pre")).to_be_visible()
    return chosen.locator("output").inner_text()
