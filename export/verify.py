"""Compare every pixel of the exported graph with the torch generator."""

import numpy as np
import torch
from numpy.typing import NDArray

from export.errors import ExportError
from export.graph import Pixels
from service.contract import INPUT, OUTPUT
from service.engine import onnx_runtime

BATCHES = (1, 2, 7)
TOLERANCE = 1  # levels: a value near a rounding boundary may round either way

Images = NDArray[np.uint8]  # (N, H, W, C)


def verify(data: bytes, pixels: Pixels, latent_dim: int) -> None:
    """Compare the serialised graph on ONNX Runtime's CPU provider with the torch module, at batch sizes 1, 2 and 7.

    Raises:
        ExportError: a pixel differs by more than one level, or an image depends on the batch size.
    """
    latents = np.random.RandomState(0).randn(max(BATCHES), latent_dim).astype(np.float32)
    with torch.inference_mode():
        expected: Images = pixels(torch.from_numpy(latents)).numpy()
    session = onnx_runtime.load().InferenceSession(data, providers=["CPUExecutionProvider"])
    drawn = {batch: session.run([OUTPUT], {INPUT: latents[:batch]})[0] for batch in BATCHES}
    for batch, images in drawn.items():
        compare(expected[:batch], images, TOLERANCE, f"at batch size {batch} torch gives {{}} and ONNX Runtime {{}}")
    whole = drawn[max(BATCHES)]
    for batch, images in drawn.items():
        compare(whole[:batch], images, 0, f"batch size {max(BATCHES)} gives {{}} and batch size {batch} {{}}")


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
