"""Distances between two sets of images, over their features."""

from collections.abc import Sequence

import torch
from torch import Tensor

from training.metrics.errors import Figure
from training.metrics.neighbours import CHUNK, nearest

NEIGHBOURS = 5  # Naeem et al. 2020, section 3.3
HALVES = 100  # of both sets, for the error of a kernel distance
BLOCK = 2000  # features whose pairs are all in memory at once


def frechet(reference: Tensor, candidate: Tensor) -> float:
    """Return |μ₁-μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁Σ₂)^½) of two sets of features (N, D) (Heusel et al. 2017, eq. 6).

    With Σ = RᵀR, the trace of (Σ₁Σ₂)^½ is the sum of the singular values of R₁R₂ᵀ: no product of covariances, whose
    square root loses half of the digits, and for N < D features a matrix of N×N in the place of D×D.
    """
    shift = (reference.double().mean(dim=0) - candidate.double().mean(dim=0)).square().sum()
    first, second = _root(reference), _root(candidate)
    overlap = torch.linalg.svdvals(first @ second.T).sum()
    return float(shift + first.square().sum() + second.square().sum() - 2 * overlap)


def _root(features: Tensor) -> Tensor:
    """Return R with RᵀR the covariance of features (N, D): (min(N, D), D)."""
    centred = features.double() - features.double().mean(dim=0)
    scaled: Tensor = centred / max(1, len(features) - 1) ** 0.5
    if len(features) <= features.shape[1]:
        return scaled
    root: Tensor = torch.linalg.qr(scaled, mode="r").R
    return root


def recall(reference: Tensor, candidate: Tensor) -> float:
    """Return the share of real features (N, D) in the radius of a generated one (Kynkäänniemi et al. 2019, eq. 2)."""
    radius = _radius(candidate)
    within = [(torch.cdist(rows, candidate) <= radius).any(dim=1) for rows in torch.split(reference, CHUNK)]
    return float(torch.cat(within).float().mean())


def coverage(reference: Tensor, candidate: Tensor) -> float:
    """Return the share of real features (N, D) with a generated one in their radius (Naeem et al. 2020, eq. 6)."""
    distances, _ = nearest(reference, candidate, 1)
    return float((distances[:, 0] <= _radius(reference)).float().mean())


def realism(reference: Tensor, candidate: Tensor) -> Tensor:
    """Return how far inside the set of real features (N, D) each of (M, D) lies: (M,), 1 on its edge and more inside.

    It is the largest ratio of a real feature's radius to its distance (Kynkäänniemi et al. 2019, eq. 3).
    """
    radius, parts = _radius(reference), torch.split(candidate, CHUNK)
    ratios = [(radius / torch.cdist(rows, reference).clamp(min=1e-8)).amax(dim=1) for rows in parts]
    return torch.cat(ratios)


def _radius(features: Tensor) -> Tensor:
    """Return the distance of each feature to its fifth nearest neighbour in the same set, (N,)."""
    distances, _ = nearest(features, features, min(NEIGHBOURS + 1, len(features)))  # the first is itself
    return distances[:, -1]


def kernel(reference: Tensor, candidate: Tensor) -> Figure:
    """Return the squared maximum mean discrepancy of features (N, D) and (M, D) under (x·y/D + 1)³, with its error.

    That is the kernel distance of Bińkowski et al. 2018, over all pairs; of large sets, over all pairs in each of
    several parts. Unbiased: its mean is 0 for two sets of one distribution, and a single value may be negative.
    """
    parts = -(-max(len(reference), len(candidate)) // BLOCK)
    pairs = zip(torch.tensor_split(reference, parts), torch.tensor_split(candidate, parts), strict=True)
    found = [_over_all_pairs(x, y) for x, y in pairs]
    return Figure(sum(found) / parts, sum(figure.error**2 for figure in found) ** 0.5 / parts)


def _over_all_pairs(reference: Tensor, candidate: Tensor) -> Figure:
    """Return the kernel distance over all pairs.

    Its error is the deviation over random halves of both sets: a half's distance is as far from that of all as that of
    all is from the truth (McCarthy 1969). For two sets of one distribution it is up to twice too large.
    """
    x, y = reference.double(), candidate.double()
    pairs = [(a @ b.T / x.shape[1] + 1) ** 3 for a, b in ((x, x), (x, y), (y, y))]
    generator = torch.Generator().manual_seed(0)

    def half(number: int) -> Tensor:
        return torch.randperm(number, generator=generator)[: max(2, number // 2)]

    values = [_discrepancy(pairs, half(len(x)), half(len(y))) for _ in range(HALVES)]
    value = _discrepancy(pairs, torch.arange(len(x)), torch.arange(len(y)))
    return Figure(value, float(torch.tensor(values).std()))


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
