"""Distances between two sets of images, over their features."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from training.metrics.neighbours import CHUNK, nearest

KERNEL_SUBSET = 1000  # features in each of the 100 estimates that are averaged
NEIGHBOURS = 5  # Naeem et al. 2020, section 3.3
HALVES = 100  # of both sets, for the error of a kernel distance


class _Extracted(nn.Identity):
    """The feature network that torchmetrics requires; the features are computed already."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.num_features = dimensions


def frechet(reference: Tensor, candidate: Tensor) -> float:
    """Return |μ₁-μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½) of two sets of features (N, D) (Heusel et al. 2017, eq. 6)."""
    metric = FrechetInceptionDistance(feature=_Extracted(reference.shape[1]))
    metric.update(reference, real=True)
    metric.update(candidate, real=False)
    return float(metric.compute())


def kernel(reference: Tensor, candidate: Tensor) -> float:
    """Return the squared maximum mean discrepancy of features (N, D) under (x·y/D + 1)³ (Bińkowski et al. 2018).

    Unbiased: its mean is 0 for two sets of one distribution, and a single value may be negative.
    """
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore", UserWarning)  # that it keeps all features in memory
        torch.manual_seed(0)
        size = min(KERNEL_SUBSET, len(reference), len(candidate))
        metric = KernelInceptionDistance(feature=_Extracted(reference.shape[1]), subset_size=size)
        metric.update(reference, real=True)
        metric.update(candidate, real=False)
        mean, _ = metric.compute()
    return float(mean)


def recall(reference: Tensor, candidate: Tensor) -> float:
    """Return the share of real features (N, D) in the radius of a generated one (Kynkäänniemi et al. 2019, eq. 2)."""
    radius = _radius(candidate)
    within = [(torch.cdist(rows, candidate) <= radius).any(dim=1) for rows in torch.split(reference, CHUNK)]
    return float(torch.cat(within).float().mean())


def coverage(reference: Tensor, candidate: Tensor) -> float:
    """Return the share of real features (N, D) with a generated one in their radius (Naeem et al. 2020, eq. 6)."""
    distances, _ = nearest(reference, candidate, 1)
    return float((distances[:, 0] <= _radius(reference)).float().mean())


def _radius(features: Tensor) -> Tensor:
    """Return the distance of each feature to its fifth nearest neighbour in the same set, (N,)."""
    distances, _ = nearest(features, features, min(NEIGHBOURS + 1, len(features)))  # the first is itself
    return distances[:, -1]


def kernel_with_error(reference: Tensor, candidate: Tensor) -> tuple[float, float]:
    """Return the kernel distance of features (N, D) and (M, D) over all pairs, and its standard error.

    The same distance as :func:`kernel`, for at most a few thousand features. Its error is the deviation over random
    halves of both sets: a half's distance is as far from that of all as that of all is from the truth (McCarthy 1969).
    For two sets of one distribution it is up to twice too large.
    """
    x, y = reference.double(), candidate.double()
    pairs = [(a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (x, y), (y, y))]
    generator = torch.Generator().manual_seed(0)

    def half(number: int) -> Tensor:
        return torch.randperm(number, generator=generator)[: max(2, number // 2)]

    values = [_discrepancy(pairs, half(len(x)), half(len(y))) for _ in range(HALVES)]
    return _discrepancy(pairs, torch.arange(len(x)), torch.arange(len(y))), float(torch.tensor(values).std())


def _discrepancy(pairs: Sequence[Tensor], rows: Tensor, columns: Tensor) -> float:
    """Return the unbiased squared mean discrepancy of the points ``rows`` of x and ``columns`` of y.

    Args:
        pairs: the kernel of all pairs in x (N, N), of x with y (N, M), and in y (M, M).
        rows: indices into x.
        columns: indices into y.
    """
    xx, xy, yy = pairs

    def among(kernel: Tensor, chosen: Tensor) -> Tensor:
        part = kernel[chosen[:, None], chosen]
        return (part.sum() - part.trace()) / (len(chosen) * (len(chosen) - 1))

    return float(among(xx, rows) + among(yy, columns) - 2 * xy[rows[:, None], columns].mean())
