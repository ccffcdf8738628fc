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


@pytest.fixture
def model(pixels: Pixels) -> onnx.ModelProto:
    return trace(pixels, LATENT_DIM)


def test_a_true_graph_passes(pixels: Pixels, model: onnx.ModelProto) -> None:
    verify(model.SerializeToString(), pixels, LATENT_DIM)


def test_a_graph_with_other_weights_is_refused_by_the_pixel(pixels: Pixels, model: onnx.ModelProto) -> None:
    kernel = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    kernel.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(kernel) + 0.2, kernel.name))
    with pytest.raises(
        ExportError, match=r"image \d, row \d+, column \d+, channel 0 is \d+ levels off: at batch \d torch"
    ):
        verify(model.SerializeToString(), pixels, LATENT_DIM)


def test_one_level_is_tolerated_and_two_are_not() -> None:
    black = np.zeros((2, 4, 4, 1), np.uint8)
    off = black.copy()
    off[1, 2, 3, 0] = 1
    compare(black, off, 1, "{} {}")
    off[1, 2, 3, 0] = 2
    with pytest.raises(ExportError, match="image 1, row 2, column 3, channel 0 is 2 levels off: wanted 0, got 2"):
        compare(black, off, 1, "wanted {}, got {}")


def test_an_image_that_changes_with_its_batch_is_refused(monkeypatch: pytest.MonkeyPatch, pixels: Pixels) -> None:
    class Moody:
        """A session whose pictures are a level brighter in larger batches."""

        def __init__(self, *arguments: object, **options: object) -> None: ...

        def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            wanted = pixels(torch.from_numpy(feeds["latent"])).numpy().clip(0, 254)
            return [wanted + np.uint8(len(wanted) > 2)]

    monkeypatch.setattr("export.verify.ort.InferenceSession", Moody)
    with pytest.raises(ExportError, match=r"batch 7 drew .* and batch 1"):
        verify(b"", pixels, LATENT_DIM)
