"""The order in which images are seen: a pure function of the seed and the number seen, so that resume is exact."""

import numpy as np
from numpy.typing import NDArray


class DataOrder:
    """An endless shuffle of ``count`` images, each epoch in a new order."""

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._epoch = -1
        self._permutation = np.empty(0, np.int64)

    def take(self, position: int, number: int) -> NDArray[np.int64]:
        """Return the indices (number,) of the images from ``position`` on."""
        parts = []
        while number:
            epoch, offset = divmod(position, self._count)
            part = self._shuffled(epoch)[offset : offset + number]
            parts.append(part)
            position, number = position + len(part), number - len(part)
        return np.concatenate(parts)

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        if epoch != self._epoch:
            self._permutation = np.random.default_rng((self._seed, epoch)).permutation(self._count)
            self._epoch = epoch
        return self._permutation
