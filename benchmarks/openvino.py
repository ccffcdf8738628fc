"""What is a rewritten graph in bfloat16 worth here? ``python -m benchmarks.openvino [--size 64]``

A DCGAN of width 64 with random weights, through the real export path, is drawn by one session from as many threads as
there are cores, in batches of 8: by the default provider in float32, and by OpenVINO with the graph as it was exported
and rewritten, in both precisions. They take turns, so that a busy neighbour on the machine slows all alike; the ratios
to the default provider within a turn are what counts. Needs ``pip install 'nelumbo[openvino]'`` and an Intel CPU.
"""

import itertools
import statistics
import threading
import time
from typing import Annotated

import numpy as np
import onnx
import typer
from onnxruntime import InferenceSession

from export.graph import Pixels, trace
from export.optimize import for_openvino
from service import cpus
from service.contract import INPUT, Precision
from service.engine.providers import openvino
from service.engine.providers.registry import open_session
from training import networks
from training import recipe as recipes

BATCH = 8


def dcgan(size: int) -> tuple[onnx.ModelProto, np.ndarray]:
    """Return the graph of a DCGAN and a batch of its latents."""
    recipe = recipes.load("cats", ["generator.width=64"], images__size=size)
    latents = np.random.default_rng(0).normal(size=(BATCH, recipe.generator.latent_dim)).astype(np.float32)
    return trace(Pixels(networks.build_generator(recipe)), latents.shape[1]), latents


def images_per_second(session: InferenceSession, latents: np.ndarray, threads: int, seconds: float) -> float:
    """Draw from all threads for some seconds."""
    started = time.perf_counter()
    batches = itertools.count()

    def draw() -> None:
        while time.perf_counter() < started + seconds:
            session.run(None, {INPUT: latents})
            next(batches)

    workers = [threading.Thread(target=draw) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return next(batches) * len(latents) / (time.perf_counter() - started)


def main(
    size: int = 64,
    turns: Annotated[int, typer.Option(min=1)] = 9,
    seconds: Annotated[float, typer.Option(min=0.1)] = 1.0,
) -> None:
    """Print each way's images a second and its ratio to the default provider."""
    threads = cpus.available()
    model, latents = dcgan(size)
    graphs = {"as exported": model.SerializeToString(), "rewritten": for_openvino(model).SerializeToString()}
    sessions = {("cpu", Precision.FLOAT32, "as exported"): open_session(graphs["as exported"], "cpu")} | {
        ("openvino", precision, name): open_session(data, "openvino", slots=threads, precision=precision)
        for precision in openvino.PRECISIONS
        for name, data in graphs.items()
    }
    for session in sessions.values():
        images_per_second(session, latents, threads, 0.5)  # kernels are compiled on their first use
    speeds = [[images_per_second(one, latents, threads, seconds) for one in sessions.values()] for _ in range(turns)]
    for (provider, precision, name), turn in zip(sessions, zip(*speeds, strict=True), strict=True):
        ratios = [speed / of_all[0] for speed, of_all in zip(turn, speeds, strict=True)]
        print(
            f"{size} px, {provider}, {precision}, {name}: {statistics.median(turn):,.0f} images/s, "
            f"ratio {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


if __name__ == "__main__":
    typer.run(main)
