"""What every measurement returns."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Speed(NamedTuple):
    """A rate, the percentiles of what one call or request took, and what it cost."""

    rate: float  # images a second; requests, where nothing is drawn
    p50: float  # milliseconds
    p95: float
    p99: float
    cpu: float = 0.0  # milliseconds an image, in this process and in the servers' workers


def of_calls(rate: float, seconds: Sequence[float]) -> Speed:
    """Return a rate with the percentiles of its calls."""
    return Speed(rate, *(float(np.percentile(seconds, p)) * 1000 for p in (50, 95, 99)))


def median(turns: Sequence[Speed]) -> Speed:
    """Return each figure's median over the turns."""
    return Speed(*map(statistics.median, zip(*turns, strict=True)))


def ratio(turns: Sequence[Speed], others: Sequence[Speed], figure: str = "rate", other: str = "rate") -> float:
    """Return the median of the turns' ratios: what slowed a whole turn slowed both."""
    above, below = ([float(getattr(turn, name)) for turn in run] for run, name in ((turns, figure), (others, other)))
    return statistics.median(a / b for a, b in zip(above, below, strict=True))
