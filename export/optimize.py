"""A model file -> the same model for OpenVINO in bfloat16, with how far its pixels are off; refused if that is far.

Both are run in what will serve them, and every pixel is compared.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from export.batch_norm import fold_batch_norm
from export.errors import ExportError
from export.halves import split_latent
from export.subpixel import to_subpixel
from service import openvino, providers
from service.contract import INPUT, OUTPUT, ModelFile, Precision, Rewrite
from service.errors import ServiceError

PROVIDER, PRECISION = "openvino", Precision.BFLOAT16
LARGEST, MEAN = 4, 0.5  # levels that a rewritten model may be off: in any pixel, and on average
SEEDS = 64
BATCHES = (16, 1, 2, 7)  # the first draws what is compared; the others must draw the same


def optimize(file: ModelFile) -> tuple[bytes, Rewrite]:
    """Return the rewritten file and what it costs.

    Raises:
        ExportError: OpenVINO is not there, the CPU has no bfloat16, or the pixels are too far off.
    """
    device = _device()
    model = rewritten(onnx.load_model_from_string(file.data))
    wanted, drawn = _draw_both(file, model.SerializeToString())
    largest, mean = judge(wanted, drawn)
    cost = Rewrite(
        provider=PROVIDER,
        precision=PRECISION,
        source=file.digest,
        largest_error=largest,
        mean_error=round(mean, 4),
        samples=SEEDS,
        device=device,
    )
    onnx.helper.set_model_props(model, file.card.model_copy(update={"rewrite": cost}).to_metadata())
    return model.SerializeToString(deterministic=True), cost


def rewritten(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function, in real arithmetic, as OpenVINO draws it fast and well in bfloat16."""
    return split_latent(to_subpixel(fold_batch_norm(model)))


def judge(wanted: NDArray[np.uint8], drawn: NDArray[np.uint8]) -> tuple[int, float]:
    """Return the largest and the mean difference of images (N, H, W, C), in levels.

    Raises:
        ExportError: one of them is too large.
    """
    difference = np.abs(wanted.astype(np.int16) - drawn)
    largest, mean = int(difference.max()), float(difference.mean())
    if largest > LARGEST or mean > MEAN:
        seed = int(difference.max(axis=(1, 2, 3)).argmax())
        raise ExportError(
            f"in {PRECISION}, pixels would be up to {largest} levels off (seed {seed}) and {mean:.3f} on average, "
            f"where {LARGEST} and {MEAN} are allowed; nothing was written, serve the model with --provider cpu"
        )
    return largest, mean


def _device() -> str:
    """Return the name of this machine's CPU; raises ExportError where a rewritten model would gain nothing on it."""
    try:
        providers.require(PROVIDER)
        device = openvino.find_cpu()
    except ServiceError as error:
        raise ExportError(str(error)) from error
    name: str = device.ep_metadata.get("FULL_DEVICE_NAME", "this CPU")
    if not openvino.has_bfloat16(device):
        raise ExportError(f"{name} has no bfloat16, so there is nothing to gain; serve the model with --provider cpu")
    return name


def _draw_both(file: ModelFile, made: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return what the file draws on the CPU provider and what was made of it draws, each (N, H, W, C)."""
    randoms = [np.random.RandomState(seed).randn(file.card.latent_dim) for seed in range(SEEDS)]
    latents = np.stack(randoms).astype(np.float32)
    session = providers.open_session(made, PROVIDER, precision=PRECISION)
    drawn, *others = [_draw(session, latents, batch) for batch in BATCHES]
    if not all(np.array_equal(drawn, other) for other in others):
        raise ExportError("on this CPU, a picture would change with the batch it is drawn in; choose --provider cpu")
    return _draw(providers.open_session(file.data, "cpu"), latents, BATCHES[0]), drawn


def _draw(session: InferenceSession, latents: NDArray[np.float32], batch: int) -> NDArray[np.uint8]:
    """Return the images of ``latents``, (N, H, W, C), drawn so many at a time."""
    parts = [session.run([OUTPUT], {INPUT: latents[i : i + batch]})[0] for i in range(0, len(latents), batch)]
    return np.concatenate(parts)
