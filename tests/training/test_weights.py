from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from export.__main__ import main as export
from tests import command_line
from tests.training.conftest import make_trainer, tiny_recipe
from training import transfer, weights
from training.errors import InputError
from training.run import Run

LICENCE, DATA_LICENCE = "CC BY-NC 4.0", "CC BY-SA 3.0"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of 48 images, whose average is not its generator; cats has BatchNorm, with counts of its own."""
    trainer = make_trainer(tmp_path_factory.mktemp("source"), tiny_recipe("cats", images__channels="1"))
    for _ in range(3):
        trainer._advance()
    trainer._save()
    return trainer.run


@pytest.fixture(scope="module")
def file(source: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "cats.safetensors"
    result = command_line.run(
        export, "weights", source.path, "--out", path, "--licence", LICENCE, "--data-licence", DATA_LICENCE
    )
    assert result.returncode == 0, result.stderr
    assert f"{path.stat().st_size:,} bytes" in result.stdout
    return path


def test_average_and_critic_come_back_with_where_they_come_from(source: Run, file: Path) -> None:
    about, parts = weights.read(file)
    assert (about.recipe, about.images_seen) == ("tiny", 48)
    assert (about.licence, about.data_licence) == (LICENCE, DATA_LICENCE)
    saved = source.load_checkpoint()[0]["gan"]
    for network, tensors in parts.items():
        assert tensors.keys() == saved[network].keys()
        assert all(torch.equal(tensor, saved[network][name]) for name, tensor in tensors.items())


def test_another_run_starts_from_the_file_and_says_its_licence(file: Path, tmp_path: Path) -> None:
    recipe = tiny_recipe("cats", images__channels="1")
    pretrained = transfer.read(file)
    assert LICENCE in transfer.describe(pretrained, recipe)
    trainer = make_trainer(tmp_path, recipe, seed=7, init_from=pretrained.origin)
    trainer.start_from(pretrained)
    _, parts = weights.read(file)
    networks = {"average": trainer.gan.generator, "critic": trainer.gan.critic}
    for name, network in networks.items():
        assert all(torch.equal(tensor, parts[name][key]) for key, tensor in network.state_dict().items())
    assert trainer.head_start == 48
    trainer._advance()
    assert trainer.run.config().init_from == pretrained.origin


@pytest.mark.slow
def test_a_model_that_started_from_the_file_is_exported_with_a_word_on_its_licence(file: Path, tmp_path: Path) -> None:
    recipe, pretrained = tiny_recipe("cats", images__channels="1"), transfer.read(file)
    trainer = make_trainer(tmp_path, recipe, init_from=pretrained.origin)
    trainer.start_from(pretrained)
    result = command_line.run(export, "onnx", trainer.run.path, "--name", "cats", "--models", tmp_path / "models")
    assert result.returncode == 0, result.stderr
    assert f"weights under {LICENCE}" in " ".join(result.stdout.split())


def test_a_file_is_not_replaced_and_needs_its_suffix(source: Run, file: Path, tmp_path: Path) -> None:
    for out, words in ((file, "already exists"), (tmp_path / "a.pt", "must end with .safetensors")):
        result = command_line.run(export, "weights", source.path, "--out", out)
        assert result.returncode == 2
        assert words in result.stderr


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    other, broken = tmp_path / "other.safetensors", tmp_path / "broken.safetensors"
    save_file({"x": torch.zeros(1)}, other)
    broken.write_bytes(np.random.default_rng(0).bytes(100))
    for path in (other, broken):
        with pytest.raises(InputError, match="holds no weights"):
            transfer.read(path)
    with pytest.raises(InputError, match="does not exist"):
        transfer.read(tmp_path / "nothing.safetensors")
