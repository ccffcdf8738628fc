import hashlib
import subprocess
from pathlib import Path

import pytest

from export import store
from export.errors import ExportError


def test_a_version_has_a_digest_file_that_sha256sum_reads(tmp_path: Path) -> None:
    store.store(b"model", tmp_path / "digits" / "1")
    line = (tmp_path / "digits" / "1" / "sha256").read_text()
    assert line == f"{hashlib.sha256(b'model').hexdigest()}  model.onnx\n"
    subprocess.run(["sha256sum", "-c", "sha256"], cwd=tmp_path / "digits" / "1", check=True, capture_output=True)


def test_versions_count_up_from_the_highest(tmp_path: Path) -> None:
    assert store.next_version(tmp_path, "digits") == 1
    for version in (2, 10):
        store.store(b"model", tmp_path / "digits" / str(version))
    assert store.next_version(tmp_path, "digits") == 11


def test_a_published_version_is_never_replaced(tmp_path: Path) -> None:
    store.store(b"first", tmp_path / "digits" / "1")
    with pytest.raises(ExportError, match="already exists; omit --version"):
        store.store(b"second", tmp_path / "digits" / "1")
    assert (tmp_path / "digits" / "1" / "model.onnx").read_bytes() == b"first"


def test_a_failed_write_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_write", full)
    with pytest.raises(ExportError, match="No space left on device"):
        store.store(b"model", tmp_path / "digits" / "1")
    assert list((tmp_path / "digits").iterdir()) == []


def test_a_file_is_added_with_its_digest_and_is_not_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "digits" / "1"
    store.store(b"model", folder)
    store.add(b"rewritten", "model.openvino.onnx", folder)
    result = subprocess.run(["sha256sum", "-c", "sha256"], cwd=folder, check=True, capture_output=True, text=True)
    assert result.stdout.splitlines() == ["model.onnx: OK", "model.openvino.onnx: OK"]
    with pytest.raises(ExportError, match="already exists; delete it"):
        store.add(b"again", "model.openvino.onnx", folder)
    (folder / "model.openvino.onnx").unlink()
    store.add(b"again", "model.openvino.onnx", folder)
    assert subprocess.run(["sha256sum", "-c", "sha256"], cwd=folder, check=False, capture_output=True).returncode == 0
    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx", "model.openvino.onnx", "sha256"]


def test_a_file_that_cannot_be_added_leaves_the_version_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        path.write_bytes(data[:3])
        raise OSError(28, "No space left on device")

    folder = tmp_path / "digits" / "1"
    store.store(b"model", folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(store, "_write", full)
    with pytest.raises(ExportError, match="No space left on device"):
        store.add(b"rewritten", "model.openvino.onnx", folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
