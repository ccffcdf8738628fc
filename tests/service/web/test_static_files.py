import re
from pathlib import Path

import pytest

from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app
from service.web.static_files import FOLDER, MEDIA_TYPES
from tests.service.web.conftest import Client
from tests.service.web.test_app import problem

NAMES = sorted(path.name for path in FOLDER.iterdir())
BROWSERS = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"


@pytest.mark.parametrize("accept", [BROWSERS, "*/*", "text/html"])
def test_a_person_gets_the_page(client: Client, accept: str) -> None:
    answer = client.get("/", headers={"accept": accept})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text.startswith("<!doctype html>")
    assert answer.headers["vary"] == "Accept"


def test_a_program_gets_a_json_description_of_the_api(client: Client) -> None:
    answer = client.get("/", headers={"accept": "application/json"})
    assert answer.json()["draw"] == "POST /generate"
    assert answer.headers["vary"] == "Accept"


def test_the_page_contains_the_most_images_in_a_request() -> None:
    client = Client(make_app(Renderer(Path("models")), read_settings(max_images=7)))
    assert 'data-max-images="7"' in client.get("/").text


@pytest.mark.parametrize("name", NAMES)
def test_each_file_has_its_media_type_and_a_strict_content_security_policy(client: Client, name: str) -> None:
    answer = client.get(f"/page/{name}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].partition(";")[0] == MEDIA_TYPES[name[name.index(".") :]]
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_a_picture_or_json_opened_in_a_tab_has_an_icon(client: Client) -> None:
    answer = client.get("/favicon.ico")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.content == (FOLDER / "lotus.svg").read_bytes()


def test_a_browser_that_has_a_file_is_not_sent_it_again(client: Client) -> None:
    etag = client.get("/page/page.css").headers["etag"]
    again = client.get("/page/page.css", headers={"if-none-match": f'"other", W/{etag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    assert client.get("/page/page.js", headers={"if-none-match": etag}).status_code == 200


@pytest.mark.parametrize("path", ["/page/", "/page/x.js", "/page/..%2fpng.py", "/page/../png.py", "/page/%00"])
def test_nothing_else_is_sent(client: Client, path: str) -> None:
    problem(client.get(path), "not-found")


def test_the_page_has_no_inline_script_or_style_and_names_no_other_host() -> None:
    html = (FOLDER / "index.html").read_text()
    assert not re.search(r"\bstyle=|\bon\w+=|<style|<script(?! type=\"module\" src=)", html)
    for name in NAMES:
        assert not re.search(r"(https?:)?//(?!www\.w3\.org/2000/svg)\w+\.", (FOLDER / name).read_text()), name
