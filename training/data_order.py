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


class ClassOrder:
    """An endless shuffle in which groups of neighbours are of one class.

    Each epoch has the groups in a new order: of every class as many as its images fill, or one if ``balance`` is set.
    Images of a class come in turn.
    """

    def __init__(self, labels: NDArray[np.int64], seed: int, group: int, *, balance: bool) -> None:
        self._members = [np.flatnonzero(labels == label) for label in range(labels.max() + 1)]
        self._counts = [1 if balance else -(-len(images) // group) for images in self._members]  # groups in an epoch
        self._labels = np.repeat(np.arange(len(self._members)), self._counts)  # of all groups
        self._numbers = np.concatenate([np.arange(count) for count in self._counts])  # of a group in its class
        self._groups = DataOrder(len(self._labels), seed)
        self._orders = [DataOrder(len(images), seed, label) for label, images in enumerate(self._members)]
        self._group = group

    def take(self, position: int, number: int) -> NDArray[np.int64]:
        """Return the indices (number,) of the images from ``position`` on."""
        places = range(position, position + number)
        first, last = position // self._group, (position + number - 1) // self._group
        groups = self._groups.take(first, last - first + 1)
        return np.array([self._image(place, groups[place // self._group - first]) for place in places])

    def _image(self, place: int, group: int) -> int:
        label, epoch = self._labels[group], place // self._group // len(self._labels)
        turn = (epoch * self._counts[label] + self._numbers[group]) * self._group + place % self._group
        return int(self._members[label][self._orders[label].take(int(turn), 1)[0]])
