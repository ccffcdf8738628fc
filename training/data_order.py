"""The order in which images are seen: a pure function of the seed and the number seen, so that resume is exact."""

import numpy as np
from numpy.typing import NDArray


class DataOrder:
    """An endless shuffle of ``count`` images, each epoch in a new order; ``part`` tells apart orders of one seed."""

    def __init__(self, count: int, seed: int, part: int | None = None) -> None:
        self._count = count
        self._seed = seed
        self._part = () if part is None else (1 + part,)
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
            self._permutation = np.random.default_rng((self._seed, epoch, *self._part)).permutation(self._count)
            self._epoch = epoch
        return self._permutation


class BalancedOrder:
    """An endless shuffle in which each run of as many images as there are classes has one image of every class.

    Images of a small class come back sooner than those of a large one.
    """

    def __init__(self, labels: NDArray[np.int64], seed: int) -> None:
        self._members = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
        self._classes = DataOrder(len(self._members), seed)
        self._orders = [DataOrder(len(images), seed, label) for label, images in enumerate(self._members)]

    def take(self, position: int, number: int) -> NDArray[np.int64]:
        """Return the indices (number,) of the images from ``position`` on."""
        labels = self._classes.take(position, number)
        turns = np.arange(position, position + number) // len(self._members)
        pairs = zip(labels.tolist(), turns.tolist(), strict=True)
        return np.array([self._members[label][self._orders[label].take(turn, 1)[0]] for label, turn in pairs])
