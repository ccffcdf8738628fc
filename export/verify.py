"""Compare every pixel of the exported graph with the torch generator."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from export.errors import ExportError
from export.graph import Pixels
from service.contract import INPUT, LABEL, OUTPUT
from service.engine import onnx_runtime

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

BATCHES = (1, 2, 7)
TOLERANCE = 1  # levels: a value near a rounding boundary may round either way

Images = NDArray[np.uint8]  # (N, H, W, C)
Feeds = dict[str, NDArray[Any]]  # the values of all inputs, (N, …) each


def verify(data: bytes, pixels: Pixels, latent_dim: int, classes: int = 0) -> None:
    """Compare the serialised graph on ONNX Runtime's CPU provider with the torch module, at batch sizes 1, 2 and 7.

    With classes, the seven images are of as many classes as there are.

    Raises:
        ExportError: a pixel differs by more than one level, an image depends on the batch size, or does not depend on
            its class.
    """
    number = max(BATCHES)
    feeds: Feeds = {INPUT: np.random.RandomState(0).randn(number, latent_dim).astype(np.float32)}
    if classes:
        feeds[LABEL] = np.arange(number) * max(1, classes // number) % classes  # from all over the list
    with torch.inference_mode():
        expected: Images = pixels(*map(torch.from_numpy, feeds.values())).numpy()
    session = onnx_runtime.load().InferenceSession(data, providers=["CPUExecutionProvider"])
    drawn = {batch: _draw(session, feeds, batch) for batch in BATCHES}
    for batch, images in drawn.items():
        compare(expected, images, TOLERANCE, f"at batch size {batch} torch gives {{}} and ONNX Runtime {{}}")
    whole = drawn[number]
    for batch, images in drawn.items():
        compare(whole, images, 0, f"batch size {number} gives {{}} and batch size {batch} {{}}")
    if classes:
        others = _draw(session, feeds | {LABEL: (feeds[LABEL] + 1) % classes}, number)
        if (others == whole).all(axis=(1, 2, 3)).any():
            raise ExportError("an image is the same in two classes: the generator has not learned them; train longer")


def _draw(session: "InferenceSession", feeds: Feeds, batch: int) -> Images:
    """Return all images, (N, H, W, C), drawn in batches of ``batch``."""
    firsts = range(0, len(feeds[INPUT]), batch)
    parts = [{name: values[first : first + batch] for name, values in feeds.items()} for first in firsts]
    return np.concatenate([session.run([OUTPUT], part)[0] for part in parts])


def compare(expected: Images, actual: Images, tolerance: int, values: str) -> None:
    """Raise ExportError with the worst pixel if any pixel differs by more than ``tolerance`` levels.

    Args:
        expected: (N, H, W, C) uint8.
        actual: as ``expected``.
        tolerance: in levels of 0 to 255.
        values: end of the error message, with two placeholders for the expected and the actual level.
    """
    if expected.shape != actual.shape:
        raise ExportError(f"the graph returns shape {actual.shape}, and the generator {expected.shape}")
    difference = np.abs(expected.astype(np.int16) - actual.astype(np.int16))
    worst = np.unravel_index(int(difference.argmax()), difference.shape)
    if difference[worst] > tolerance:
        image, row, column, channel = (int(i) for i in worst)
        raise ExportError(
            f"image {image}, row {row}, column {column}, channel {channel} differs by {difference[worst]} levels: "
            + values.format(expected[worst], actual[worst])
        )
