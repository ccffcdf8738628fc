from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine.library import Library, load_library
from service.engine.renderer import Renderer
from tests import tiny


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with grey@1, grey@2 (8 numbers, 16×16) and rgb@1 (16 numbers, 24×20)."""
    folder = tmp_path_factory.mktemp("models")
    tiny.write(folder, tiny.card("grey", 1))
    tiny.write(folder, tiny.card("grey", 2), tiny.model(tiny.card("grey", 2), seed=1))
    tiny.write(folder, tiny.card("rgb", 1, latent_dim=16, height=24, width=20, channels=3))
    return folder


@pytest.fixture(scope="session")
def library(models: Path) -> Library:
    return load_library(models, "cpu")


@pytest.fixture(scope="module")
def renderer(models: Path) -> Iterator[Renderer]:
    made = Renderer(models)
    made.load()
    yield made
    made.close()
