"""Draws the images of seeds with a graph, whichever of the contract's inputs it has."""

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from service.contract import DIRECTIONS, INPUT, LABEL, OUTPUT, TRUNCATION
from service.engine import onnx_runtime

Floats = NDArray[np.float32]
Images = NDArray[np.uint8]  # (N, H, W, C)


class Sampler:
    """A graph on ONNX Runtime's CPU provider.

    Attributes:
        directions: how many directions it takes; 0 for no such input.
    """

    def __init__(self, model: onnx.ModelProto, latent_dim: int) -> None:
        shapes = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
        self._inputs = shapes.keys()
        self._latent_dim = latent_dim
        self.directions: int = shapes[DIRECTIONS][1].dim_value if DIRECTIONS in shapes else 0
        data = model.SerializeToString()
        self._session = onnx_runtime.load().InferenceSession(data, providers=["CPUExecutionProvider"])

    def draw(self, seeds: Sequence[int], amounts: Floats | None = None, truncation: Floats | None = None) -> Images:
        """Return the images of seeds, drawn in one batch; a label is 0.

        Args:
            seeds: N of them.
            amounts: along the directions, (N, K); None: 0.
            truncation: (N,); None: 1.
        """
        latents = [np.random.RandomState(seed).randn(self._latent_dim) for seed in seeds]
        return self.render(np.stack(latents).astype(np.float32), amounts, truncation)

    def render(self, latents: Floats, amounts: Floats | None = None, truncation: Floats | None = None) -> Images:
        """Return the images of latents (N, Z), as :meth:`draw` does."""
        count = len(latents)
        off = np.zeros((count, self.directions), np.float32)
        known = {
            INPUT: latents,
            LABEL: np.zeros(count, np.int64),
            TRUNCATION: np.ones(count, np.float32) if truncation is None else truncation,
            DIRECTIONS: off if amounts is None else amounts,
        }
        feeds = {name: value for name, value in known.items() if name in self._inputs}
        images: Images = self._session.run([OUTPUT], feeds)[0]
        return images

    def draw_moved(self, seeds: Sequence[int], amounts: Floats) -> Images:
        """Return the images of seeds, all moved by the same amounts (K,)."""
        return self.draw(seeds, np.repeat(amounts[None], len(seeds), axis=0))
