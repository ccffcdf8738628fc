from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny
from tests.e2e.server import Server, serving

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder as slow: each starts a server or another process."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with grey@1 (8 numbers, 16×16, with truncation) and rgb@1 (16 numbers, 24×20)."""
    folder = tmp_path_factory.mktemp("models")
    tiny.write(folder, tiny.card("grey", truncation=True))
    tiny.write(folder, tiny.card("rgb", latent_dim=16, height=24, width=20, channels=3))
    return folder


@pytest.fixture(scope="session")
def slow_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with slow@1, whose 1024×1024 colour pictures take a while."""
    folder = tmp_path_factory.mktemp("slow")
    tiny.write(folder, tiny.card("slow", height=1024, width=1024, channels=3))
    return folder


@pytest.fixture(scope="module")
def server(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server") / "log", models=models, until="/models/rgb@1") as running:
        yield running
