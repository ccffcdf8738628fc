"""Nearest neighbours by brute force: exact, and a few rows of the distance matrix at a time."""

import torch
from torch import Tensor

CHUNK = 512  # rows that are held at once: 123 MB of distances to 60,000 points


def nearest(queries: Tensor, points: Tensor, number: int, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the distances to the nearest points and their indices, nearest first: both (N, number).

    Args:
        queries: (N, D).
        points: (M, D).
        number: how many, at most M.
        own: (N, K) indices of points that do not count for a query, such as its own.
    """
    distances, indices = [], []
    for rows in torch.split(torch.arange(len(queries)), CHUNK):
        row_distances = torch.cdist(queries[rows], points)  # (CHUNK, M)
        if own is not None:
            row_distances.scatter_(1, own[rows], torch.inf)
        found = row_distances.topk(number, largest=False)
        distances.append(found.values)
        indices.append(found.indices)
    return torch.cat(distances), torch.cat(indices)
