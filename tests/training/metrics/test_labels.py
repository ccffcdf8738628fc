import gzip
from pathlib import Path

import numpy as np
import pytest

from tests import DATA, DIGITS
from training.errors import InputError
from training.metrics import labels


@pytest.mark.parametrize("source", [DATA, DIGITS])
def test_labels_are_found_beside_the_images_or_in_their_folder(source: Path) -> None:
    found = labels.find(source, 400)
    assert found is not None
    assert np.bincount(found).tolist() == [40] * 10


def test_of_several_files_the_training_labels_are_taken(tmp_path: Path) -> None:
    for name, label in (("t10k-labels-idx1-ubyte", 3), ("train-labels-idx1-ubyte", 7)):
        (tmp_path / name).write_bytes(labels.MAGIC + bytes([0, 0, 0, 2, label, label]))
    found = labels.find(tmp_path, 2)
    assert found is not None
    assert found.tolist() == [7, 7]


def test_without_a_label_file_there_are_no_labels(tmp_path: Path) -> None:
    assert labels.find(tmp_path, 16) is None
    (tmp_path / "pictures-idx3-ubyte").write_bytes(b"")
    assert labels.find(tmp_path / "pictures-idx3-ubyte", 16) is None


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (labels.MAGIC + bytes([0, 0, 0, 2, 1, 2]), "does not contain labels of the 3 images"),
        (b"\x00", "does not contain labels"),
        (gzip.compress(b"1234", mtime=0)[:-2], "does not contain labels"),
    ],
)
def test_labels_of_other_images_are_refused(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / "labels-idx1-ubyte").write_bytes(data)
    with pytest.raises(InputError, match=words):
        labels.find(tmp_path, 3)


def test_a_damaged_label_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels-idx1-ubyte.gz").write_bytes(gzip.compress(b"1234", mtime=0)[:-2])
    with pytest.raises(InputError, match="is damaged"):
        labels.find(tmp_path, 3)
