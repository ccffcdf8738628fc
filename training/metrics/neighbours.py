"""Exact nearest neighbours by brute force, in chunks of rows of the distance matrix."""

import torch
from torch import Tensor

CHUNK = 512  # rows per chunk: 123 MB of distances to 60,000 points


def nearest(queries: Tensor, points: Tensor, number: int, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the distances to the nearest points and their indices, nearest first: both (N, number).

    Args:
        queries: (N, D).
        points: (M, D).
        number: how many, at most M.
        own: (N, K) indices of points to exclude for each query, such as the query itself.
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
