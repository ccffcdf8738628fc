from pathlib import Path

import pytest

from tests.training.conftest import make_trainer, tiny_recipe


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 20 steps on real digits, 16×16 grey."""
    trainer = make_trainer(tmp_path_factory.mktemp("runs"), tiny_recipe())
    assert trainer.train()
    return trainer.run.path
