"""Standard errors of figures: how much a figure would change with other samples and other real images.

Estimated from random parts of both sets (Politis and Romano 1994). A bootstrap would draw some images twice, and a copy
is its own nearest neighbour: recall, coverage and the kernel distance would see likeness that is not there.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Items = TypeVar("Items", Tensor, NDArray[np.uint8])
PARTS = 20  # whose deviation is known to about a sixth
LARGEST = 500  # images in a part
RESAMPLES = 200  # of a bootstrap


class Figure(float):
    """A float with its standard error."""

    error: float

    def __new__(cls, value: float, error: float) -> "Figure":
        """Return the value, with its error."""
        figure = super().__new__(cls, value)
        figure.error = error
        return figure


def with_errors(
    statistic: Callable[[Items, Items], Mapping[str, float]],
    reference: Items,
    candidate: Items,
    largest: int = LARGEST,
) -> dict[str, Figure]:
    """Return figures of a candidate against a reference, with their errors.

    The deviation over parts of h of n images shrinks to that of n by √(h / (n - h)), since parts share images.

    Args:
        statistic: the figures of two sets.
        reference: one set.
        candidate: the other.
        largest: images in a part at most; fewer take less time, and serve a statistic that is a mean as well.
    """
    number = min(len(reference), len(candidate))
    part = min(number // 2, largest)
    random = np.random.RandomState(0)

    def some(items: Items) -> Items:
        return items[random.permutation(len(items))[:part]]

    draws = [statistic(some(reference), some(candidate)) for _ in range(PARTS)]
    scale = (part / (number - part)) ** 0.5
    return {
        name: Figure(value, scale * float(np.std([draw[name] for draw in draws], ddof=1)))
        for name, value in statistic(reference, candidate).items()
    }


def median(values: NDArray[np.float32]) -> Figure:
    """Return the median of independent values, with its error by the bootstrap."""
    draws = np.random.RandomState(0).randint(len(values), size=(RESAMPLES, len(values)))
    return Figure(float(np.median(values)), float(np.median(values[draws], axis=1).std(ddof=1)))


def share(hits: NDArray[np.bool_]) -> Figure:
    """Return which share of independent cases are hits, with the error of a binomial distribution."""
    value = float(hits.mean())
    return Figure(value, (value * (1 - value) / len(hits)) ** 0.5)
