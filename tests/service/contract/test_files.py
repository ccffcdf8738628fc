import tracemalloc
from pathlib import Path

import pytest

from service.contract import ContractError, Refusal, read_bytes, read_verified
from service.contract.files import is_cut_off
from tests import hostile, tiny


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_file_that_is_cut_off_gets_no_digest(tmp_path: Path, kept: float) -> None:
    folder = tiny.write(tmp_path)
    file = folder / "model.onnx"
    data = file.read_bytes()
    file.write_bytes(data[: int(kept * len(data))])
    (folder / "sha256").unlink()
    with pytest.raises(ContractError) as refused:
        read_verified(folder)
    assert refused.value.kind is Refusal.NO_DIGEST
    assert "sha256sum" not in str(refused.value)


def test_a_whole_file_without_a_digest_may_get_one(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path)
    (folder / "sha256").unlink()
    with pytest.raises(ContractError, match="sha256sum") as refused:
        read_verified(folder)
    assert refused.value.kind is Refusal.NO_DIGEST


@pytest.mark.parametrize("data", [b"", b"\xff" * 64, b"\x0a", b"\x0a\x05abc", b"\x0b"])
def test_bytes_that_are_no_whole_message_are_cut_off(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    assert is_cut_off(tmp_path / "x")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("kind", hostile.KINDS)
def test_nothing_in_a_folder_without_digests_keeps_the_reader_waiting(tmp_path: Path, kind: str) -> None:
    folder = hostile.write_kind(tmp_path, kind, "encoder.onnx")
    (folder / "sha256").unlink()
    with pytest.raises(ContractError) as refused:
        read_verified(folder)
    assert refused.value.kind is Refusal.NO_DIGEST


def test_a_file_that_says_it_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        file.truncate(2**26)
    tracemalloc.start()
    try:
        with pytest.raises(ContractError) as refused:
            read_bytes(tmp_path / "x", limit=2**24)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.value.kind is Refusal.TOO_LARGE
    assert peak < 2**20


def test_a_file_with_more_bytes_than_it_says_is_too_large() -> None:
    """As one that grows while it is read: the kernel says that this one has none."""
    with pytest.raises(ContractError) as refused:
        read_bytes(Path("/proc/self/status"), limit=0)
    assert refused.value.kind is Refusal.TOO_LARGE
