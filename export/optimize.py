"""A model file -> the same model for a provider in a narrower precision, with how far its pixels are off.

Both are run, in what will serve them where that is here, and every pixel is compared; refused if one is far off.
"""

import platform
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from export.batch_norm import fold_batch_norm
from export.errors import ExportError
from export.float16 import draw_by_layer, to_float16
from export.halves import split_latent
from export.subpixel import to_subpixel
from service.contract import INPUT, OUTPUT, Precision, Rewrite
from service.contract.graph import ModelFile
from service.engine.providers import cpu, openvino
from service.engine.providers import registry as providers
from service.errors import ServiceError

LARGEST, MEAN = 4, 0.5  # levels that a rewritten model may be off: in any pixel, and on average
SEEDS = 64
BATCHES = (16, 1, 2, 7)  # a provider may round otherwise in another batch; ONNX Runtime's own does not

Latents = NDArray[np.float32]  # (N, Z)
Images = NDArray[np.uint8]  # (N, H, W, C)


class Target(NamedTuple):
    """What a model is rewritten for."""

    precision: Precision
    rewrite: Callable[[onnx.ModelProto], onnx.ModelProto]
    draw: Callable[[onnx.ModelProto, Latents], tuple[Images, str]]  # -> (…, N, H, W, C), and what drew them


def optimize(file: ModelFile, provider: str) -> tuple[bytes, Rewrite]:
    """Return the rewritten file and what it costs.

    Raises:
        ExportError: the provider is not there, or has no such precision on this machine, or the pixels are too far off.
    """
    target = TARGETS[provider]
    model = target.rewrite(onnx.load_model_from_string(file.data))
    latents = _latents(file.card.latent_dim)
    drawn, device = target.draw(model, latents)
    wanted = _draw(providers.open_session(file.data, "cpu"), latents, BATCHES[0])
    largest, mean = judge(wanted, drawn, target.precision)
    cost = Rewrite(
        provider=provider,
        precision=target.precision,
        source=file.digest,
        largest_error=largest,
        mean_error=round(mean, 4),
        samples=SEEDS,
        device=device,
    )
    onnx.helper.set_model_props(model, file.card.model_copy(update={"rewrite": cost}).to_metadata())
    return model.SerializeToString(deterministic=True), cost


def judge(wanted: Images, drawn: Images, precision: Precision) -> tuple[int, float]:
    """Return the largest and the mean difference of images, in levels.

    Args:
        wanted: (N, H, W, C).
        drawn: as many, or several times as many, (…, N, H, W, C).
        precision: that they were drawn in.

    Raises:
        ExportError: one of them is too large.
    """
    difference = np.abs(wanted.astype(np.int16) - drawn)
    largest, mean = int(difference.max()), float(difference.mean())
    if largest > LARGEST or mean > MEAN:
        seed = int(difference.max(axis=(-3, -2, -1)).argmax()) % len(wanted)
        raise ExportError(
            f"in {precision}, pixels would be up to {largest} levels off (seed {seed}) and {mean:.3f} on average, "
            f"where {LARGEST} and {MEAN} are allowed; nothing was written, serve the model as it is"
        )
    return largest, mean


def for_openvino(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function, in real arithmetic, as OpenVINO draws it fast and well in bfloat16."""
    return split_latent(to_subpixel(fold_batch_norm(model)))


def for_gpus(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function in float16."""
    return to_float16(fold_batch_norm(model))


def for_arm(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the same function, in real arithmetic, with plain convolutions for transposed ones."""
    return to_subpixel(fold_batch_norm(model))


def _draw_with_openvino(model: onnx.ModelProto, latents: Latents) -> tuple[Images, str]:
    device = _device()
    return _draw_in_bfloat16(model, latents, "openvino"), device


def _draw_with_cpu(model: onnx.ModelProto, latents: Latents) -> tuple[Images, str]:
    if not cpu.has_bfloat16():
        raise ExportError(
            "this CPU has no bfloat16 that ONNX Runtime uses, which needs Linux on ARMv8.6; serve the model as it is"
        )
    return _draw_in_bfloat16(model, latents, "cpu"), f"a CPU, {platform.machine()}"


def _draw_in_bfloat16(model: onnx.ModelProto, latents: Latents, provider: str) -> Images:
    """Return the images of ``latents`` for each size of batch, (len(BATCHES), N, H, W, C)."""
    session = providers.open_session(model.SerializeToString(), provider, precision=Precision.BFLOAT16)
    return np.stack([_draw(session, latents, batch) for batch in BATCHES])


def _draw_with_cuda(model: onnx.ModelProto, latents: Latents) -> tuple[Images, str]:
    """Draw on the GPU, or, as models are also made where none is, with each layer rounded on the CPU."""
    try:
        session = providers.open_session(model.SerializeToString(), "cuda", precision=Precision.FLOAT16)
    except ServiceError:
        return draw_by_layer(model, latents), "a CPU, layer by layer"
    return _draw(session, latents, BATCHES[0]), "a GPU, by cuda"


def _device() -> str:
    """Return the name of this machine's CPU; raises ExportError where a rewritten model would gain nothing on it."""
    try:
        device = openvino.PLUGIN.find_device()
    except ServiceError as error:
        raise ExportError(str(error)) from error
    name: str = device.ep_metadata.get("FULL_DEVICE_NAME", "this CPU")
    if not openvino.has_bfloat16(device):
        raise ExportError(f"{name} has no bfloat16, so there is nothing to gain; serve the model with --provider cpu")
    return name


def _latents(size: int) -> Latents:
    randoms = [np.random.RandomState(seed).randn(size) for seed in range(SEEDS)]
    return np.stack(randoms).astype(np.float32)


def _draw(session: InferenceSession, latents: Latents, batch: int) -> Images:
    """Return the images of ``latents``, (N, H, W, C), drawn so many at a time."""
    parts = [session.run([OUTPUT], {INPUT: latents[i : i + batch]})[0] for i in range(0, len(latents), batch)]
    return np.concatenate(parts)


TARGETS = {
    "cpu": Target(Precision.BFLOAT16, for_arm, _draw_with_cpu),
    "openvino": Target(Precision.BFLOAT16, for_openvino, _draw_with_openvino),
    "cuda": Target(Precision.FLOAT16, for_gpus, _draw_with_cuda),
}
