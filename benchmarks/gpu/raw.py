"""(b) A session's own speed by batch: with copies, with IO binding, and as a CUDA graph."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray
from onnxruntime import InferenceSession

from benchmarks.gpu.setup import Row, Setup, attempt, available, files, in_precision, rate
from service.contract import INPUT, OUTPUT
from service.contract.graph import ModelFile
from service.engine.providers import nvidia
from service.engine.providers import registry as providers
from service.engine.providers.base import session_options
from service.precision import Precision

WAYS = ("copies", "IO binding", "CUDA graph")


def measure(setup: Setup) -> Iterator[Row]:
    """Yield images/s and milliseconds of each model, provider, precision and batch."""
    started, missing = available(setup)
    yield from missing
    chosen = [(name, file) for name, file in files(setup) if setup.tiny or name.startswith("dcgan") or name == "cats"]
    cases = [
        (name, file, provider, precision)
        for provider in started
        for precision in (Precision.FLOAT32, Precision.FLOAT16)
        for name, file in chosen
    ]
    seconds = setup.seconds / 2 / max(1, len(cases) * len(setup.batches) * len(WAYS))  # the other half opens sessions
    for name, file, provider, precision in cases:
        row = {"model": name, "provider": provider, "precision": str(precision)}
        try:
            data = in_precision(file, precision)
            session = providers.open_session(data, provider, precision=precision, max_batch=setup.batches[-1])
        except Exception as error:  # of one model; the others are still measured
            yield row | {"reason": str(error).splitlines()[0][:300]}
            continue
        for batch in setup.batches:
            latents = np.random.default_rng(0).normal(size=(batch, file.card.latent_dim)).astype(np.float32)
            calls = {
                "copies": partial(copies, session, latents),
                "IO binding": partial(binding, session, latents, file),
                "CUDA graph": partial(_graph, data, provider, latents, file),
            }
            for way, make in calls.items():
                found = attempt(row | {"way": way, "batch": batch}, lambda m=make, n=batch: rate(m(), n, seconds))
                yield found


def copies(session: InferenceSession, latents: NDArray[np.float32]) -> Callable[[], object]:
    """Return a call that runs one batch from and to ordinary memory."""
    return lambda: session.run([OUTPUT], {INPUT: latents})


def binding(session: InferenceSession, latents: NDArray[np.float32], file: ModelFile) -> Callable[[], object]:
    """Return a call that runs one batch as the providers for NVIDIA's GPUs do."""
    shape = file.card.height, file.card.width, file.card.channels
    return lambda: nvidia.run(session, {INPUT: latents}, shape)


def _graph(data: bytes, provider: str, latents: NDArray[np.float32], file: ModelFile) -> Callable[[], object]:
    """Return a call that runs one batch as a CUDA graph: its addresses on the GPU never change."""
    if provider != "cuda":
        raise RuntimeError("only the cuda provider captures CUDA graphs")
    import onnxruntime

    options = nvidia.CUDA_OPTIONS | {"enable_cuda_graph": "1"}
    session = onnxruntime.InferenceSession(
        data, session_options(), providers=[(nvidia.CUDA_NAME, options)], enable_fallback=0
    )
    card = file.card
    given = onnxruntime.OrtValue.ortvalue_from_numpy(latents, "cuda", 0)
    drawn = onnxruntime.OrtValue.ortvalue_from_shape_and_type(
        (len(latents), card.height, card.width, card.channels), np.uint8, "cuda", 0
    )
    binding = session.io_binding()
    binding.bind_ortvalue_input(INPUT, given)
    binding.bind_ortvalue_output(OUTPUT, drawn)

    def call() -> object:
        given.update_inplace(latents)
        session.run_with_iobinding(binding)
        return drawn.numpy()

    return call
