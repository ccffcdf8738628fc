"""The graph must draw what the generator drew: both are run, and every pixel is compared."""

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from export.errors import ExportError
from export.graph import Pixels
from service.contract import INPUT, OUTPUT

BATCHES = (1, 2, 7)
TOLERANCE = 1  # level: a value on the edge of rounding may fall to either side

Images = NDArray[np.uint8]  # (N, H, W, C)


def verify(data: bytes, pixels: Pixels, latent_dim: int) -> None:
    """Compare the serialised graph in ONNX Runtime's CPU provider with the torch module, at batch 1, 2 and 7.

    Raises:
        ExportError: a pixel differs by more than a level, or an image changes with the batch it is drawn in.
    """
    latents = np.random.RandomState(0).randn(max(BATCHES), latent_dim).astype(np.float32)
    with torch.inference_mode():
        wanted: Images = pixels(torch.from_numpy(latents)).numpy()
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    drawn = {batch: session.run([OUTPUT], {INPUT: latents[:batch]})[0] for batch in BATCHES}
    for batch, images in drawn.items():
        compare(wanted[:batch], images, TOLERANCE, f"at batch {batch} torch drew {{}} and ONNX Runtime {{}}")
    whole = drawn[max(BATCHES)]
    for batch, images in drawn.items():
        compare(whole[:batch], images, 0, f"batch {max(BATCHES)} drew {{}} and batch {batch} {{}}")


def compare(wanted: Images, got: Images, tolerance: int, words: str) -> None:
    """Raise ExportError that names the worst pixel if any is more than ``tolerance`` levels off.

    Args:
        wanted: (N, H, W, C) uint8.
        got: as ``wanted``.
        tolerance: in levels of 0 to 255.
        words: a sentence with two places, for the wanted level and the one got.
    """
    if wanted.shape != got.shape:
        raise ExportError(f"the graph returns shape {got.shape} where the generator has {wanted.shape}")
    difference = np.abs(wanted.astype(np.int16) - got.astype(np.int16))
    worst = np.unravel_index(int(difference.argmax()), difference.shape)
    if difference[worst] > tolerance:
        image, row, column, channel = (int(i) for i in worst)
        raise ExportError(
            f"image {image}, row {row}, column {column}, channel {channel} is {difference[worst]} levels off: "
            + words.format(wanted[worst], got[worst])
        )
