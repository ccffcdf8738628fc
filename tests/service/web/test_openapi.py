import json
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from service.__main__ import app
from service.contract.inputs import MAX_DIRECTIONS
from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app
from service.web.auth import Access
from service.web.bento import bento_route
from service.web.fields import MAX_ITEMS
from service.web.routes import routes
from service.web.schemas import GenerateRequest, InterpolateRequest
from tests.service.web.conftest import Client

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def document(client: Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


def test_the_committed_description_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["openapi"]).output
    committed = (ROOT / "docs" / "openapi.json").read_text()
    assert committed == printed, "run: python -m service openapi > docs/openapi.json"


def test_every_route_is_described_with_its_methods(renderer: Renderer, document: dict[str, Any]) -> None:
    bento = bento_route(make_app(renderer, read_settings()))
    table = [
        route
        for route in (*routes(renderer, read_settings(), renderer.reload, Access(), None), bento)
        if route.path not in ("/", "/page/{file}", "/favicon.ico")  # the page is for people
    ]
    served = {(shape(route.path), method) for route in table for method in (route.methods or set()) - {"HEAD"}}
    described = {(shape(path), method.upper()) for path, found in document["paths"].items() for method in found}
    assert described == served


def shape(path: str) -> str:
    return re.sub(r"\{[^/]*\}", "{}", path)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for reference in set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(document))):
        found: Any = document
        for key in reference.split("/"):
            found = found[key]


@pytest.mark.parametrize("model", [GenerateRequest, InterpolateRequest])
def test_the_examples_are_valid(client: Client, document: dict[str, Any], model: type) -> None:
    path = {GenerateRequest: "/generate", InterpolateRequest: "/interpolate"}[model]
    for example in document["components"]["schemas"][model.__name__]["examples"]:
        body = {name: value for name, value in example.items() if name != "model"}
        assert client.post(path, json=body).status_code == 200


def test_the_limits_are_those_of_the_settings(renderer: Renderer) -> None:
    client = Client(make_app(renderer, read_settings(max_images=5)))
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    generate, interpolate = (schemas[name]["properties"] for name in ("GenerateRequest", "InterpolateRequest"))
    assert generate["n"]["anyOf"][0]["maximum"] == interpolate["steps"]["maximum"] == 5
    assert generate["seeds"]["anyOf"][0]["maxItems"] == generate["latents"]["anyOf"][0]["maxItems"] == 5


def test_the_lists_of_a_body_say_how_long_they_may_be(document: dict[str, Any]) -> None:
    array = document["components"]["schemas"]["ArrayRequest"]["properties"]
    assert array["labels"]["anyOf"][0]["maxItems"] == MAX_ITEMS
    assert array["directions"]["anyOf"][0]["maxItems"] == MAX_DIRECTIONS


def test_the_page_needs_nothing_from_elsewhere_and_shows_every_route(client: Client, document: dict[str, Any]) -> None:
    answer = client.get("/docs")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert re.findall(r"<script[^>]*>", answer.text) == ['<script type="module" src="page/docs.js">']
    assert not re.search(r"https?://|<link|<img", answer.text)
    for path in document["paths"]:
        assert f"<code>{path}</code>" in answer.text
    assert "&quot;from&quot;: 1" in answer.text
