"""A provider is one entry in the table, and everything else reads it."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from docs.tables import TABLES
from service.__main__ import app
from service.engine.providers import mlx, plugins, webgpu
from service.engine.providers import registry as providers
from service.engine.providers.base import Provider
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.errors import ServiceError
from service.formats.registry import ARRAYS
from service.settings import read_settings
from tests.e2e.server import serving
from tests.toy_provider import TOY

PLUGINS = [webgpu.PLUGIN, mlx.PLUGIN]


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> Provider:
    """A provider that draws negatives, in the table."""
    monkeypatch.setitem(providers.PROVIDERS, TOY.name, TOY)
    return TOY


def draw(models: Path, provider: str) -> Any:
    renderer = Renderer(models, provider)
    renderer.load()
    request = RenderRequest(renderer.library.find("grey"), seeds=(1, 2, 3))
    try:
        return renderer.submit(request, ARRAYS, 60)[0].result(60)
    finally:
        renderer.close()


def test_one_entry_adds_a_provider_that_serves(toy: Provider, models: Path) -> None:
    drawn = draw(models, toy.name)
    expected = draw(models, "cpu")
    np.testing.assert_array_equal(drawn, 255 - expected)
    assert read_settings(provider=toy.name).workers == 1


@pytest.mark.slow
def test_what_an_added_provider_draws_is_served_over_http(models: Path, tmp_path: Path) -> None:
    def serve(provider: str, module: str) -> np.ndarray:
        command = (sys.executable, "-m", module)
        with serving(tmp_path / f"{provider}.log", models=models, provider=provider, command=command) as server:
            answer = server.client().post("/generate", json={"model": "grey", "seed": 7})
        assert answer.status_code == 200, answer.text
        return np.asarray(Image.open(BytesIO(answer.content)))

    np.testing.assert_array_equal(serve("toy", "tests.toy_provider"), 255 - serve("cpu", "service"))


def test_one_entry_adds_a_provider_to_the_docs(toy: Provider) -> None:
    rows = list(TABLES["providers"]())
    assert [row[0] for row in rows[1:]] == [f"`{name}`" for name in providers.PROVIDERS]
    assert toy.runs_on in rows[-1]


def test_help_lists_every_provider() -> None:
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "400", "TERM": "dumb"}).output
    assert ", ".join(providers.PROVIDERS) in text


def test_an_unknown_provider_is_a_bad_setting() -> None:
    with pytest.raises(ServiceError, match="provider"):
        read_settings(provider="abacus")


def test_the_table_is_read_without_onnx_runtime() -> None:
    code = "import sys, service.settings; print([m for m in ('onnxruntime', 'onnx') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(result.stdout.replace("'", '"')) == []


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_plug_in_that_is_not_installed_is_refused(plugin: plugins.Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, plugin.package, None)
    with pytest.raises(ServiceError, match="is not installed"):
        providers.require(plugin.name)


@pytest.mark.parametrize("plugin", PLUGINS, ids=lambda plugin: plugin.name)
def test_a_plug_in_without_a_device_is_refused(plugin: plugins.Plugin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins.Plugin, "_load", lambda _: True)
    with pytest.raises(ServiceError, match=plugin.no_device[:30]):
        providers.require(plugin.name)


def test_webgpu_draws_where_it_has_a_device(models: Path) -> None:
    try:
        providers.require("webgpu")
    except ServiceError as error:
        pytest.skip(str(error))
    drawn = draw(models, "webgpu")
    assert len(drawn) == 3
