import hashlib
from pathlib import Path

import pytest

from training import mnist
from training.errors import InputError, TrainingError

CONTENT = {name: name.encode() for name in mnist.SHA256}


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror in a folder, with the expected digests; the mirror before it in the list is unreachable."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    for name, data in CONTENT.items():
        (folder / name).write_bytes(data)
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/", folder.as_uri() + "/"))
    monkeypatch.setattr(mnist, "SHA256", {name: hashlib.sha256(data).hexdigest() for name, data in CONTENT.items()})
    return folder


def test_the_four_files_are_downloaded_once(mirror: Path, tmp_path: Path) -> None:
    mnist.fetch(tmp_path / "mnist")
    assert {path.name: path.read_bytes() for path in (tmp_path / "mnist").iterdir()} == CONTENT
    for path in mirror.iterdir():
        path.unlink()
    mnist.fetch(tmp_path / "mnist")


def test_a_downloaded_file_with_another_digest_is_discarded(mirror: Path, tmp_path: Path) -> None:
    (mirror / "train-labels-idx1-ubyte.gz").write_bytes(b"tampered")
    with pytest.raises(TrainingError, match="no mirror answered with train-labels"):
        mnist.fetch(tmp_path / "mnist")
    assert not (tmp_path / "mnist" / "train-labels-idx1-ubyte.gz").exists()


def test_an_existing_file_with_another_digest_is_an_error(mirror: Path, tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(b"something else")
    with pytest.raises(InputError, match="is not the published file"):
        mnist.fetch(tmp_path)


def test_without_a_network_the_error_names_the_files_and_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:9/",))
    with pytest.raises(TrainingError) as raised:
        mnist.fetch(tmp_path / "mnist")
    assert all(name in str(raised.value) for name in mnist.SHA256)
    assert str(tmp_path / "mnist") in str(raised.value)
