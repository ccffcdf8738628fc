from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from tests import tiny
from training.errors import InputError
from training.metrics.samples import BATCH, open_sampler


def test_seeds_count_from_0_and_give_the_same_images_as_in_the_service(tmp_path: Path) -> None:
    path = tiny.write(tmp_path, tiny.card(channels=3)) / "model.onnx"
    sampler = open_sampler(path)
    number = BATCH + 3
    latents = np.stack([np.random.RandomState(seed).randn(8).astype(np.float32) for seed in range(number)])
    expected = ort.InferenceSession(path).run(None, {"latent": latents})[0].transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(sampler.draw(number), expected)
    assert (sampler.latent_dim, sampler.size, sampler.channels) == (8, 16, 3)


def test_a_file_that_is_not_a_generator_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist; pass a model"):
        open_sampler(tmp_path / "nothing")
    with pytest.raises(InputError, match="is not a run folder"):
        open_sampler(tmp_path)
    (tmp_path / "text.onnx").write_text("hello")
    with pytest.raises(InputError, match="is not an ONNX model"):
        open_sampler(tmp_path / "text.onnx")
    wide = tiny.write(tmp_path, tiny.card(height=16, width=24)) / "model.onnx"
    with pytest.raises(InputError, match="does not map latent"):
        open_sampler(wide)
