from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine.library import Library, load_library
from service.engine.renderer import Renderer
from tests import tiny


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with grey@1, grey@2 (8 numbers, 16×16) and rgb@1 (16 numbers, 24×20, with truncation)."""
    folder = tmp_path_factory.mktemp("models")
    tiny.write(folder, tiny.card("grey", 1))
    tiny.write(folder, tiny.card("grey", 2), tiny.model(tiny.card("grey", 2), seed=1))
    tiny.write(folder, tiny.card("rgb", 1, latent_dim=16, height=24, width=20, channels=3, truncation=True))
    return folder


@pytest.fixture(scope="session")
def letters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with letters@1, which has every input of schema 2, and plain@1, which has none."""
    folder = tmp_path_factory.mktemp("letters")
    tiny.write(folder, tiny.conditional("letters"))
    tiny.write(folder, tiny.card("plain"))
    return folder


@pytest.fixture(scope="module")
def lettered(letters: Path) -> Iterator[Renderer]:
    """A renderer of letters@1 and plain@1."""
    made = Renderer(letters)
    made.load()
    yield made
    made.close()


@pytest.fixture(scope="session")
def library(models: Path) -> Library:
    return load_library(models, "cpu")


@pytest.fixture(scope="module")
def renderer(models: Path) -> Iterator[Renderer]:
    made = Renderer(models)
    made.load()
    yield made
    made.close()
