import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from export.errors import ExportError
from export.graph import Pixels, trace
from export.verify import compare, verify
from tests.export.test_graph import trained

LATENT_DIM = 64


@pytest.fixture(scope="module")
def pixels() -> Pixels:
    return Pixels(trained("digits-best"))


@pytest.fixture(scope="module")
def traced(pixels: Pixels) -> bytes:
    return trace(pixels, LATENT_DIM).SerializeToString()


@pytest.fixture
def model(traced: bytes) -> onnx.ModelProto:
    return onnx.load_model_from_string(traced)


def test_a_correct_graph_passes(pixels: Pixels, model: onnx.ModelProto) -> None:
    verify(model.SerializeToString(), pixels, LATENT_DIM)


def test_a_graph_with_other_weights_is_refused_and_the_worst_pixel_is_named(
    pixels: Pixels, model: onnx.ModelProto
) -> None:
    kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel) + 0.2, kernel.name))
    with pytest.raises(
        ExportError, match=r"image \d, row \d+, column \d+, channel 0 differs by \d+ levels: at batch size \d torch"
    ):
        verify(model.SerializeToString(), pixels, LATENT_DIM)


def test_one_level_is_tolerated_and_two_are_not() -> None:
    black = np.zeros((2, 4, 4, 1), np.uint8)
    off = black.copy()
    off[1, 2, 3, 0] = 1
    compare(black, off, 1, "{} {}")
    off[1, 2, 3, 0] = 2
    with pytest.raises(
        ExportError, match="image 1, row 2, column 3, channel 0 differs by 2 levels: expected 0, actual 2"
    ):
        compare(black, off, 1, "expected {}, actual {}")


def test_an_image_that_depends_on_the_batch_size_is_refused(monkeypatch: pytest.MonkeyPatch, pixels: Pixels) -> None:
    class BatchDependentSession:
        """A session whose images are one level brighter in batches of more than 2."""

        def __init__(self, *arguments: object, **options: object) -> None: ...

        def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            images = pixels(torch.from_numpy(feeds["latent"])).numpy().clip(0, 254)
            return [images + np.uint8(len(images) > 2)]

    monkeypatch.setattr("onnxruntime.InferenceSession", BatchDependentSession)
    with pytest.raises(ExportError, match=r"batch size 7 gives .* and batch size 1"):
        verify(b"", pixels, LATENT_DIM)
