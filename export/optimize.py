"""Rewrite a model file for an execution provider in reduced precision, and measure the pixel error.

The original and the rewritten model draw the same seeds, the latter on the target provider if this machine has it.
The rewritten model is refused if a pixel differs by more than the limits below.
"""

import platform
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from export.batch_norm import fold_batch_norm
from export.errors import ExportError
from export.feeds import Feeds, feeds_of_seeds, slices
from export.float16 import draw_by_layer, to_float16
from export.latent_split import split_latent
from export.subpixel import to_subpixel
from service.contract import OUTPUT, Precision, Rewrite
from service.contract.graph import ModelFile
from service.engine.providers import cpu, openvino
from service.engine.providers import registry as providers
from service.errors import ServiceError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

LARGEST, MEAN = 4, 0.5  # allowed error in levels of 0 to 255: of any pixel, and on average
SEEDS = 64
BATCHES = (16, 1, 2, 7)  # a provider may round differently per batch size; the CPU provider does not

Images = NDArray[np.uint8]  # (N, H, W, C)


class Target(NamedTuple):
    """How a model is rewritten and measured for a provider."""

    precision: Precision
    rewrite: Callable[[onnx.ModelProto], onnx.ModelProto]
    draw: Callable[[onnx.ModelProto, Feeds], tuple[Images, str]]  # -> images (…, N, H, W, C), device


def optimize(file: ModelFile, provider: str) -> tuple[bytes, Rewrite]:
    """Return the rewritten file and its measured error.

    Raises:
        ExportError: the provider or its precision is not available here, or the error is too large.
    """
    target = TARGETS[provider]
    model = target.rewrite(onnx.load_model_from_string(file.data))
    feeds = feeds_of_seeds(file.card, SEEDS)
    drawn, device = target.draw(model, feeds)
    expected = _draw(providers.open_session(file.data, "cpu"), feeds, BATCHES[0])
    largest, mean = pixel_error(expected, drawn, target.precision)
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


def pixel_error(expected: Images, drawn: Images, precision: Precision) -> tuple[int, float]:
    """Return the largest and the mean absolute difference of images, in levels.

    Args:
        expected: (N, H, W, C) uint8.
        drawn: (N, H, W, C) uint8, or several sets of them, (…, N, H, W, C).
        precision: of ``drawn``, for the error message.

    Raises:
        ExportError: a difference is above its limit.
    """
    difference = np.abs(expected.astype(np.int16) - drawn)
    largest, mean = int(difference.max()), float(difference.mean())
    if largest > LARGEST or mean > MEAN:
        seed = int(difference.max(axis=(-3, -2, -1)).argmax()) % len(expected)
        raise ExportError(
            f"in {precision} the largest pixel error is {largest} levels (seed {seed}) and the mean {mean:.3f}; "
            f"the limits are {LARGEST} and {MEAN}. Nothing was written; serve the original model"
        )
    return largest, mean


def for_openvino(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an equivalent model that OpenVINO runs fast and accurately in bfloat16."""
    return split_latent(to_subpixel(fold_batch_norm(model)))


def for_gpus(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model in float16."""
    return to_float16(fold_batch_norm(model))


def for_arm(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return an equivalent model with convolutions in place of transposed convolutions."""
    return to_subpixel(fold_batch_norm(model))


def _draw_with_openvino(model: onnx.ModelProto, feeds: Feeds) -> tuple[Images, str]:
    device = _device()
    return _draw_in_bfloat16(model, feeds, "openvino"), device


def _draw_with_cpu(model: onnx.ModelProto, feeds: Feeds) -> tuple[Images, str]:
    if not cpu.has_bfloat16():
        raise ExportError(
            "ONNX Runtime cannot use bfloat16 on this CPU (it needs Linux on ARMv8.6); serve the original model"
        )
    return _draw_in_bfloat16(model, feeds, "cpu"), f"a CPU, {platform.machine()}"


def _draw_in_bfloat16(model: onnx.ModelProto, feeds: Feeds, provider: str) -> Images:
    """Return the images of all inputs at each batch size, (len(BATCHES), N, H, W, C)."""
    session = providers.open_session(model.SerializeToString(), provider, precision=Precision.BFLOAT16)
    return np.stack([_draw(session, feeds, batch) for batch in BATCHES])


def _draw_with_cuda(model: onnx.ModelProto, feeds: Feeds) -> tuple[Images, str]:
    """Draw on the GPU; without one, run each node on the CPU and round its result to float16."""
    try:
        session = providers.open_session(model.SerializeToString(), "cuda", precision=Precision.FLOAT16)
    except ServiceError:
        return draw_by_layer(model, feeds), "a CPU, layer by layer"
    return _draw(session, feeds, BATCHES[0]), "a GPU, by cuda"


def _device() -> str:
    """Return the name of this machine's CPU; raises ExportError if OpenVINO or the CPU's bfloat16 is missing."""
    try:
        device = openvino.PLUGIN.find_device()
    except ServiceError as error:
        raise ExportError(str(error)) from error
    name: str = device.ep_metadata.get("FULL_DEVICE_NAME", "this CPU")
    if not openvino.has_bfloat16(device):
        raise ExportError(
            f"{name} has no bfloat16 instructions, so a rewritten model is no faster; serve with --provider cpu"
        )
    return name


def _draw(session: "InferenceSession", feeds: Feeds, batch: int) -> Images:
    """Return the images of all inputs, (N, H, W, C), drawn in batches of ``batch``."""
    return np.concatenate([session.run([OUTPUT], part)[0] for part in slices(feeds, batch)])


TARGETS = {
    "cpu": Target(Precision.BFLOAT16, for_arm, _draw_with_cpu),
    "openvino": Target(Precision.BFLOAT16, for_openvino, _draw_with_openvino),
    "cuda": Target(Precision.FLOAT16, for_gpus, _draw_with_cuda),
}
