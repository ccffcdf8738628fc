"""Read the labels beside an idx file of images."""

import gzip
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import InputError

MAGIC = b"\x00\x00\x08\x01"  # unsigned bytes in one dimension
Labels = NDArray[np.uint8] | NDArray[np.int64]  # (N,), as a file has them and as classes are numbered


def find(source: Path, count: int) -> Labels | None:
    """Return the labels of the ``count`` images of a source, or None if it has none.

    Raises:
        InputError: the file of labels is damaged, or its number of labels differs from ``count``.
    """
    path = _path(source)
    if path is None:
        return None
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is damaged: {error}") from error
    labels = np.frombuffer(data, np.uint8, offset=min(8, len(data)))
    if not data.startswith(MAGIC) or len(labels) != count:
        raise InputError(f"{path} does not contain labels of the {count:,} images beside it")
    return labels


def _path(source: Path) -> Path | None:
    """Return the idx1 file beside an idx3 file, or in a folder the one of the training images."""
    if source.is_file():
        beside = source.with_name(source.name.replace("images", "labels").replace("idx3", "idx1"))
        return beside if beside != source and beside.is_file() else None
    found = sorted(source.glob("*labels*idx1*"))
    training = [path for path in found if path.name.startswith("train")]
    return next(iter(training if len(found) > 1 else found), None)
