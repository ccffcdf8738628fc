import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from export.__main__ import main
from export.directions import singular_vectors
from export.entries import find_entries
from service.contract.graph import read_model
from tests import command_line, tiny


def export(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return command_line.run(main, *arguments)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tiny.write(tmp_path) / "model.onnx"


def test_the_first_direction_is_the_one_that_the_first_layer_stretches_most() -> None:
    model = tiny.model(tiny.card())
    weights = np.random.default_rng(0).normal(size=(8, 256))
    _, _, rows = np.linalg.svd(weights.T, full_matrices=False)
    found = singular_vectors(model, find_entries(model)[0], 8)
    np.testing.assert_allclose(np.abs(np.sum(found * rows, axis=1)), 1, atol=1e-4)


def test_a_sheet_has_a_row_of_seven_for_each_direction_with_the_seed_in_its_middle(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheet.png"
    assert export("directions", file, "--out", out).returncode == 0
    sheet = np.asarray(Image.open(out))
    assert sheet.shape == (8 * 20, 7 * 20)  # of a latent of 8 numbers; 16 pixels and a margin of 2
    middles = [sheet[row * 20 : row * 20 + 20, 60:80] for row in range(8)]
    assert all(np.array_equal(one, middles[0]) for one in middles)
    assert not np.array_equal(sheet[:20, :20], sheet[:20, 120:])


def test_names_stand_in_the_card_of_the_next_version(file: Path) -> None:
    done = export("directions", file, "--name", "0=coat", "--name", "2=light")
    assert done.returncode == 0, done.stderr
    card = read_model(file.parent.parent / "2").card
    assert [one.name for one in card.directions] == ["coat", "1", "light", "3", "4", "5", "6", "7"]
    assert export("directions", file.parent.parent / "2" / "model.onnx", "--name", "1=pose").returncode == 0
    assert [one.name for one in read_model(file.parent.parent / "3").card.directions][:3] == ["coat", "pose", "light"]


@pytest.mark.parametrize("name", ["coat", "8=coat", "0=", "0=3", "1=2"])
def test_a_bad_name_is_refused_in_one_sentence(file: Path, name: str) -> None:
    done = export("directions", file, "--name", name)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert not (file.parent.parent / "2").exists()


def test_upgrade_writes_the_next_version(file: Path) -> None:
    assert export("upgrade", file, "--directions", "3").returncode == 0
    assert len(read_model(file.parent.parent / "2").card.directions) == 3
