import io
import json
import subprocess
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.formats import archives, metadata, png
from service.formats.archives import Sample

TEXTS = {"model": "grey", "version": "1", "truncation": "1.0"}
ARCHIVES = [kind for kind in archives.KINDS if kind != ".png"]


def samples(*seeds: int) -> list[Sample]:
    image = np.zeros((4, 4, 1), np.uint8)
    return [
        Sample(f"seed{s:04d}", png.encode(image, metadata.png_chunks(TEXTS | {"seed": str(s)})), {"seed": s})
        for s in seeds
    ]


@pytest.mark.parametrize("kind", archives.KINDS)
def test_what_is_written_is_read(tmp_path: Path, kind: str) -> None:
    path, seeds = tmp_path / f"seed0007{kind}", (7,) if kind == ".png" else (7, 8)
    archives.write(path, samples(*seeds))
    found = archives.read(path)
    assert found is not None
    assert found.names == [f"seed{seed:04d}" for seed in seeds]
    assert (TEXTS | {"seed": "7"}).items() <= (found.texts() or {}).items()


@pytest.mark.parametrize("kind", ARCHIVES)
def test_the_same_pictures_are_the_same_archive(tmp_path: Path, kind: str) -> None:
    first, second = tmp_path / f"first{kind}", tmp_path / f"second{kind}"
    for path in (first, second):
        archives.write(path, samples(1, 2))
    assert first.read_bytes() == second.read_bytes()


def test_a_shard_keeps_a_pictures_files_together(tmp_path: Path) -> None:
    archives.write(tmp_path / "0.tar", samples(1, 2))
    with tarfile.open(tmp_path / "0.tar") as shard:
        assert shard.getnames() == ["seed0001.png", "seed0001.json", "seed0002.png", "seed0002.json"]
        assert json.load(io.BytesIO(shard.extractfile("seed0002.json").read())) == {"seed": 2}  # type: ignore[union-attr]


def test_another_program_reads_a_shard(tmp_path: Path) -> None:
    archives.write(tmp_path / "0.tar", samples(1, 2))
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "xf", "0.tar", "-C", "out"], cwd=tmp_path, check=True)
    assert (tmp_path / "out" / "seed0002.png").read_bytes() == samples(2)[0].png


def test_a_zip_is_whole_and_not_compressed_again(tmp_path: Path) -> None:
    archives.write(tmp_path / "1.zip", samples(1, 2))
    with zipfile.ZipFile(tmp_path / "1.zip") as archive:
        assert archive.testzip() is None
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}


@pytest.mark.parametrize("kind", archives.KINDS)
def test_what_stops_the_writing_leaves_what_was_there(tmp_path: Path, kind: str) -> None:
    def interrupted() -> Iterator[Sample]:
        yield from samples(1)
        raise KeyboardInterrupt

    path = tmp_path / f"seed0001{kind}"
    path.write_bytes(b"before")
    with pytest.raises(KeyboardInterrupt):
        archives.write(path, interrupted())
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {path.name: b"before"}


@pytest.mark.parametrize("kind", [".png", ".zip"])
def test_half_a_file_is_none(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"seed0001{kind}"
    assert archives.read(path) is None
    archives.write(path, samples(1))
    whole = path.read_bytes()
    for length in range(0, len(whole), 17):
        path.write_bytes(whole[:length])
        found = archives.read(path)
        assert found is None or found.texts() is None
