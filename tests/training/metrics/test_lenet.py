from pathlib import Path

import numpy as np
import pytest
import torch

from tests import DIGITS
from training import images
from training.configs import ImagesConfig
from training.metrics import labels, lenet

DATASET = images.read(DIGITS, ImagesConfig(size=28, channels=1))


def obtain() -> lenet.Classifier:
    found = labels.find(DIGITS, 400)
    assert found is not None
    return lenet.load_or_train(DATASET, found)


@pytest.mark.slow
def test_it_learns_digits_and_classifies_them_at_another_size_and_in_colour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    classifier = obtain()
    assert classifier.accuracy > 0.7  # 360 digits teach it that much: of 40 others it knew 35 to 38, by its seed
    enlarged = images.read(DIGITS, ImagesConfig(size=32, channels=3)).images
    probabilities = classifier.probabilities(enlarged)
    np.testing.assert_allclose(probabilities.sum(axis=1), np.ones(400), rtol=1e-4)
    assert (probabilities.argmax(axis=1) == labels.find(DIGITS, 400)).mean() > 0.9


def test_training_is_deterministic_and_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lenet, "MIN_STEPS", 10)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = obtain()
    file = next((tmp_path / "nelumbo").iterdir())
    file.write_bytes(file.read_bytes()[:1000])  # damaged: trained again
    torch.manual_seed(1)
    second = obtain()
    monkeypatch.setattr(lenet, "_train", None)  # and now read
    kept = obtain()
    assert len({classifier.features().digest for classifier in (first, second, kept)}) == 1
    assert first.accuracy == second.accuracy == kept.accuracy


def test_an_unwritable_cache_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lenet, "MIN_STEPS", 10)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("in the way")
    assert obtain().accuracy >= 0
