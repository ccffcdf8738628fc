from pathlib import Path

import pytest

from service import keys
from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app
from tests.service.web.conftest import Client

US, THEM = "https://us.example", "https://them.example:8443"
PREFLIGHT = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-api-key"}


@pytest.fixture(scope="module")
def opened(renderer: Renderer, tmp_path_factory: pytest.TempPathFactory) -> Client:
    file = tmp_path_factory.mktemp("keys") / "keys"
    file.write_text(keys.line("us", keys.new()))
    return Client(make_app(renderer, read_settings(cors_origins=f"{US},{THEM}", api_keys=file)))


def test_by_default_no_other_origin_is_allowed(client: Client) -> None:
    assert client.request("OPTIONS", "/generate", headers={"origin": US} | PREFLIGHT).status_code == 405
    answer = client.post("/generate", headers={"origin": US})
    assert "access-control-allow-origin" not in answer.headers
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize("origin", [US, THEM])
def test_named_origins_may_call_and_read_errors(opened: Client, origin: str) -> None:
    allowed = opened.request("OPTIONS", "/generate", headers={"origin": origin} | PREFLIGHT)
    assert allowed.status_code == 200  # before any key: a browser's question has none
    assert allowed.headers["x-content-type-options"] == "nosniff"
    answer = opened.post("/generate", headers={"origin": origin})
    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == origin
    assert {"X-Seed", "X-Deterministic"} <= set(answer.headers["access-control-expose-headers"].split(", "))
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("path", ["/images/rgb@1/42.png", "/images/rgb/42.png", "/models/rgb@1/thumbnail.png"])
def test_images_may_be_shown_by_pages_of_any_site(client: Client, path: str) -> None:
    answer = client.get(path, headers={"origin": US})
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert "access-control-allow-origin" not in answer.headers  # their scripts do not see the pixels


def test_an_image_that_needs_a_key_is_shown_by_no_page(renderer: Renderer, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(keys.line("us", keys.new()))
    answer = Client(make_app(renderer, read_settings(api_keys=tmp_path / "keys"))).get("/images/rgb@1/42.png")
    assert answer.status_code == 401
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_other_origins_are_not_allowed(opened: Client) -> None:
    answer = opened.post("/generate", headers={"origin": "https://us.example.evil"})
    assert "access-control-allow-origin" not in answer.headers


def test_a_star_allows_every_origin(renderer: Renderer) -> None:
    client = Client(make_app(renderer, read_settings(cors_origins="*")))
    assert client.post("/generate", headers={"origin": THEM}).headers["access-control-allow-origin"] == "*"
