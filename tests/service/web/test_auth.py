from pathlib import Path
from typing import Any

import httpx
import pytest

from service import keys
from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app
from service.web.auth import OPEN
from service.web.images import CACHED
from tests.service.web.conftest import Client
from tests.service.web.test_app import problem

KEY = keys.new()
ASKED = [
    ("POST", "/generate"),
    ("POST", "/interpolate"),
    ("GET", "/images/grey@2/1.png"),
    ("HEAD", "/images/grey@2/1.png"),
    ("GET", "/models"),
    ("GET", "/models/grey"),
    ("GET", "/models/grey@2/thumbnail.png"),
    ("GET", "/nothing"),
    ("GET", "/docs/"),
    ("GET", "/page"),
    ("GET", "/DOCS"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "keys"
    path.write_text(f"{keys.line('mobile', KEY)}\n{keys.line('other', KEY[::-1])}\n")
    return path


@pytest.fixture(scope="module")
def closed(renderer: Renderer, file: Path) -> Client:
    return Client(make_app(renderer, read_settings(api_keys=file)))


@pytest.mark.parametrize(("method", "path"), ASKED)
def test_routes_that_draw_or_describe_models_need_a_key(closed: Client, method: str, path: str) -> None:
    answer = closed.request(method, path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="nelumbo"'
    if method != "HEAD":
        problem(answer, "invalid-key")


def test_without_a_key_no_body_is_read(closed: Client) -> None:
    problem(closed.post("/generate", content=b"x" * 2**22), "invalid-key")


@pytest.mark.parametrize(
    "headers", [{"authorization": f"Bearer {KEY}"}, {"authorization": f"bearer  {KEY}"}, {"x-api-key": KEY}]
)
def test_a_key_opens_by_either_header(closed: Client, headers: dict[str, str]) -> None:
    assert closed.post("/generate", json={"seed": 1}, headers=headers).status_code == 200
    assert closed.get("/models", headers=headers).status_code == 200


OTHERS = {"another key": f"Bearer {KEY}x", "another scheme": f"Basic {KEY}", "no scheme": KEY, "no ASCII": "Bearer é"}


@pytest.mark.parametrize("given", OTHERS.values(), ids=OTHERS)
def test_no_other_key_is_accepted(closed: Client, given: str) -> None:
    problem(closed.post("/generate", headers=[(b"authorization", given.encode())]), "invalid-key")


def test_the_challenge_for_a_wrong_key_says_invalid_token(closed: Client) -> None:
    answer = closed.post("/generate", headers={"authorization": "Bearer wrong"})
    assert answer.headers["www-authenticate"] == 'Bearer realm="nelumbo", error="invalid_token"'
    assert "wrong" not in answer.text.replace("invalid", "")


@pytest.mark.parametrize("path", [*sorted(OPEN), "/page/page.js"])
def test_the_page_the_description_and_the_metrics_are_open(closed: Client, path: str) -> None:
    assert closed.get(path).status_code == 200


def test_an_api_key_gives_no_admin_access_and_the_admin_needs_no_api_key(renderer: Renderer, file: Path) -> None:
    client = Client(make_app(renderer, read_settings(api_keys=file, admin_token="correct-horse-battery")))
    problem(client.post("/admin/reload", headers={"x-api-key": KEY, "authorization": f"Bearer {KEY}"}), "invalid-token")
    assert client.post("/admin/reload", headers={"authorization": "Bearer correct-horse-battery"}).status_code == 200
    problem(client.post("/generate", headers={"authorization": "Bearer correct-horse-battery"}), "invalid-key")


def test_no_shared_cache_may_store_an_image_that_needs_a_key(closed: Client, client: Client) -> None:
    asked: dict[str, Any] = {"url": "/images/grey@2/1.png", "headers": {"x-api-key": KEY}}
    assert closed.get(**asked).headers["cache-control"] == f"private, {CACHED}"
    assert client.get(**asked).headers["cache-control"] == f"public, {CACHED}"


def test_without_keys_all_is_open(client: Client) -> None:
    assert client.get("/models", headers={"x-api-key": "any"}).status_code == 200


def limited(renderer: Renderer, file: Path, **given: str) -> Client:
    return Client(make_app(renderer, read_settings(api_keys=file, workers=1, **given)))


def draw(client: Client, key: str = KEY, **body: Any) -> httpx.Response:
    return client.post("/generate", json=body or {"seed": 1}, headers={"x-api-key": key})


def test_a_key_over_its_limit_gets_429_with_retry_after(renderer: Renderer, file: Path) -> None:
    client = limited(renderer, file, rate="5/hour", quota="100/day")
    answer = draw(client, seed=1, n=3)
    assert answer.status_code == 200
    assert answer.headers["ratelimit-policy"] == '"rate";q=5;qu="images";w=3600, "quota";q=100;qu="images";w=86400'
    assert answer.headers["ratelimit"] == '"rate";r=2;t=3600, "quota";r=97;t=86400'
    refused = draw(client, seed=1, n=3)
    problem(refused, "rate-limited")
    assert 3590 < int(refused.headers["retry-after"]) <= 3600
    assert refused.headers["ratelimit"].startswith('"rate";r=2;t=')
    assert draw(client, seed=1, n=2).status_code == 200  # a refused request has cost nothing
    assert draw(client).status_code == 429


def test_each_key_has_its_own_images(renderer: Renderer, file: Path) -> None:
    client = limited(renderer, file, quota="1/day")
    assert [draw(client, key).status_code for key in (KEY, KEY, KEY[::-1], KEY[::-1])] == [200, 429, 200, 429]


def test_a_request_over_the_whole_limit_is_422_without_retry_after(renderer: Renderer, file: Path) -> None:
    answer = draw(limited(renderer, file, rate="5/hour"), seed=1, n=6)
    assert "at most 5 images" in problem(answer, "over-limit")["detail"]
    assert "retry-after" not in answer.headers


def test_interpolations_and_images_by_url_count_and_undrawn_answers_do_not(renderer: Renderer, file: Path) -> None:
    client = limited(renderer, file, quota="100/day")
    key = {"x-api-key": KEY}
    walk = client.post("/interpolate", json={"from": 1, "to": 2, "steps": 4}, headers=key)
    image = client.get("/images/grey@2/1.png", headers=key)
    client.get("/images/grey@2/1.png", headers=key | {"if-none-match": image.headers["etag"]})
    client.request("HEAD", "/images/grey@2/1.png", headers=key)
    draw(client, seed=-1)
    last = draw(client)
    assert [answer.headers["ratelimit"].split(";")[1] for answer in (walk, image, last)] == ["r=96", "r=95", "r=94"]
