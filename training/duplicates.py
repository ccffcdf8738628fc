"""Find images that a source holds several times: the same file, or one of another size, quality or format."""

import hashlib

import numpy as np
from numpy.typing import NDArray

SIDES = (16, 14)  # pixels of a thumbnail; every size that can be trained is a multiple of one of them
# Root mean square over a thumbnail, in levels of 0 to 255, up to which two images count as one.
ALIKE = 2.0
CHUNK = 512  # images compared at a time
MOST = 20_000  # images among which those that are not quite equal are searched for, as it takes the square of the time

Thumbnails = NDArray[np.float32]  # (N, D)


def find(images: NDArray[np.uint8]) -> dict[int, int]:
    """Return which images (N, C, S, S) repeat an earlier one: their index, and that of the first of them."""
    first: dict[bytes, int] = {}
    digests = (hashlib.sha256(image.data).digest() for image in images)
    found = {i: one for i, digest in enumerate(digests) if (one := first.setdefault(digest, i)) != i}
    rest = np.array([i for i in range(len(images)) if i not in found])
    if len(rest) <= MOST:
        found |= {int(rest[i]): int(rest[one]) for i, one in _alike(_thumbnails(images)[rest]).items()}
    return dict(sorted((i, found.get(one, one)) for i, one in found.items()))


def _thumbnails(images: NDArray[np.uint8]) -> Thumbnails:
    """Average images (N, C, S, S) to 16×16 or 14×14 pixels, flat."""
    n, channels, size, _ = images.shape
    side = next(side for side in SIDES if size % side == 0)
    step = size // side
    small = images.reshape(n, channels, side, step, side, step).mean(axis=(3, 5), dtype=np.float32)
    flat: Thumbnails = small.reshape(n, -1)
    return flat


def _alike(thumbnails: Thumbnails) -> dict[int, int]:
    """Return the same as :func:`find` for thumbnails that are nearly equal.

    Thumbnails as near as that have means as near, too, so that each is compared with those of about its mean only.
    """
    order = np.argsort(thumbnails.mean(axis=1), kind="stable")
    points = thumbnails[order]
    means, squares = points.mean(axis=1), np.square(points).sum(axis=1)
    found: dict[int, int] = {}
    for start in range(0, len(points), CHUNK):
        rows = slice(start, start + CHUNK)
        end = np.searchsorted(means, means[rows][-1] + ALIKE, side="right")
        near = slice(start, int(end))
        distances = squares[rows, None] + squares[None, near] - 2 * points[rows] @ points[near].T  # squared
        for i, j in zip(*np.nonzero(distances <= ALIKE**2 * points.shape[1]), strict=True):
            one, other = sorted((int(order[start + i]), int(order[start + j])))
            if one != other:
                found[other] = min(one, found.get(other, one))
    return {other: _first(one, found) for other, one in found.items()}


def _first(index: int, found: dict[int, int]) -> int:
    while index in found:
        index = found[index]
    return index
