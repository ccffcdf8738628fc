import io
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from service.formats import metadata, png

images = st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])).flatmap(
    lambda shape: arrays(np.uint8, shape)
)


def read(data: bytes) -> np.ndarray:
    pixels = np.asarray(Image.open(io.BytesIO(data)))
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    assert data.startswith(png.SIGNATURE)
    found, at = [], len(png.SIGNATURE)
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        assert struct.unpack_from(">I", data, at + 8 + length) == (zlib.crc32(name + body),)
        found.append((name, body))
        at += 12 + length
    return found


@given(images)
def test_pillow_reads_back_every_pixel(image: np.ndarray) -> None:
    np.testing.assert_array_equal(read(png.encode(image)), image)


@given(images)
def test_zlib_does_where_isal_is_missing(image: np.ndarray) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "isal_zlib", None)
        patch.setattr(png, "crc32", zlib.crc32)
        np.testing.assert_array_equal(read(png.encode(image)), image)


def test_a_view_of_a_batch_is_encoded_like_a_copy() -> None:
    batch = np.random.default_rng(0).integers(0, 256, (2, 8, 9, 3), np.uint8)
    assert png.encode(batch[1]) == png.encode(batch[1].copy())
    assert png.encode(batch[1, :, ::2]) == png.encode(batch[1, :, ::2].copy())


def test_chunks_are_well_formed_and_in_the_order_that_png_asks_for() -> None:
    data = png.encode(np.zeros((4, 5, 3), np.uint8), png.chunk(b"tEXt", b"a\0b"))
    assert [name for name, _ in chunks(data)] == [b"IHDR", b"tEXt", b"IDAT", b"IEND"]
    assert chunks(data)[0][1] == struct.pack(">IIBBBBB", 5, 4, 8, 2, 0, 0, 0)


@pytest.mark.parametrize("shape", [(1, 1, 1), (28, 28, 1), (3, 7, 3), (128, 128, 3)])
@pytest.mark.parametrize("with_isal", [True, False])
def test_pngcheck_finds_no_fault(
    shape: tuple[int, int, int], with_isal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("pngcheck") is None:
        pytest.skip("no pngcheck here")
    if not with_isal:
        monkeypatch.setattr(png, "isal_zlib", None)
        monkeypatch.setattr(png, "crc32", zlib.crc32)
    image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    file = tmp_path / "image.png"
    file.write_bytes(png.encode(image, metadata.png_chunks({"model": "digits", "seed": "42"})))
    checked = subprocess.run(["pngcheck", "-v", file], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    assert "No errors detected" in checked.stdout
