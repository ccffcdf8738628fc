from pathlib import Path

import numpy as np
import pytest
import torch

from tests import DIGITS as MNIST
from training import images
from training.configs import ImagesConfig
from training.images import Pixels
from training.metrics import stacked
from training.metrics.lenet import Classifier, LeNet
from training.metrics.stacked import modes, stack


class Brightness(LeNet):
    """Classifies an image by its brightness, in steps of 25 levels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        digits = ((images.mean(dim=(1, 2, 3)) + 1) * 127.5 / 25).round().long()
        return 100.0 * torch.nn.functional.one_hot(digits, 10)


PERFECT = Classifier(Brightness(10), 1.0)
DIGITS: Pixels = np.repeat(np.arange(10, dtype=np.uint8) * 25, 16 * 16).reshape(10, 1, 16, 16)


def test_equal_shares_of_all_modes_have_1000_modes_and_no_divergence() -> None:
    every = np.stack(np.meshgrid(*[np.arange(10)] * 3), axis=-1).reshape(-1, 3)
    assert modes(PERFECT, DIGITS[every, 0]) == pytest.approx({"stacked-modes": 1000, "stacked-kl": 0}, abs=1e-9)


def test_the_divergence_of_a_few_modes_is_the_logarithm_of_the_missing_factor() -> None:
    few = DIGITS[np.array([[0, 1, 2], [3, 4, 5], [3, 4, 5], [0, 1, 2]]), 0]
    assert modes(PERFECT, few) == pytest.approx({"stacked-modes": 2, "stacked-kl": np.log(500)})


def test_random_stacks_cover_nearly_all_modes() -> None:
    stacks = stack(DIGITS, 5000)
    assert stacks.shape == (5000, 3, 16, 16)
    assert modes(PERFECT, stacks)["stacked-modes"] > 980


def test_the_training_set_is_a_zip_of_stacked_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacked, "NUMBER", 50)
    stacked.write(MNIST, tmp_path / "stacked.zip")
    written = images.read(tmp_path / "stacked.zip", ImagesConfig(size=28, channels=3)).images
    digits = images.read(MNIST, ImagesConfig(size=28, channels=1)).images
    np.testing.assert_array_equal(written, stack(digits, 50))
    known = {digit.tobytes() for digit in digits}
    assert {channel.tobytes() for image in written for channel in image} <= known
