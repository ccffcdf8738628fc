import contextlib
import io
import struct
import time
import zlib
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from service.formats.photo import MAX_PIECES, MAX_PIXELS, SCAN, PhotoError, read


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def half(mode: str = "RGB", size: tuple[int, int] = (64, 64)) -> Image.Image:
    """Return a picture that is black at the left and white at the right."""
    pixels = np.zeros(size[::-1], np.uint8)
    pixels[:, size[0] // 2 :] = 255
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(64, 64), (40, 30), (700, 500)])
def test_the_middle_of_a_picture_is_read_at_the_size_of_the_model(
    kind: str, channels: int, size: tuple[int, int]
) -> None:
    picture = read(encoded(half(size=size), kind), 16, 16, channels)
    assert (picture.shape, picture.dtype) == ((16, 16, channels), np.uint8)
    assert picture[:, :6].max() < 20
    assert picture[:, 10:].min() > 235


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGBA", "LA", "I;16"])
def test_every_mode_of_png_is_read(mode: str) -> None:
    image = half("L", (128, 128))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    picture = read(encoded(image if mode == "I;16" else image.convert(mode)), 16, 16, 3)
    assert (picture[:, :6].max() < 20, picture[:, 10:].min() > 235) == (True, True)


def test_transparency_is_white() -> None:
    assert read(encoded(Image.new("RGBA", (300, 300), (0, 0, 0, 0))), 8, 8, 3).min() == 255


def test_a_photo_is_turned_as_its_camera_was_held() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    picture = read(encoded(half(size=(600, 600)), "JPEG", exif=exif), 16, 16, 1)
    assert picture[:6].max() < 20
    assert picture[10:].min() > 235


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )


def jpeg_bomb(side: int) -> bytes:
    data = encoded(half(), "JPEG")
    at = data.index(b"\xff\xc0") + 5
    return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]


def in_pieces(piece: bytes, count: int, kind: str = "JPEG") -> bytes:
    """Return a picture with so many pieces behind its first bytes."""
    data, start = encoded(half(), kind), {"JPEG": 2, "PNG": 33}[kind]
    return data[:start] + piece * count + data[start:]


def of_scans(side: int, count: int) -> bytes:
    """Return a progressive JPEG that has its last scan many times."""
    data = encoded(half(size=(side, side)), "JPEG", progressive=True)
    last = data[data.rindex(SCAN) : -2]
    return data[:-2] + last * (count - data.count(SCAN)) + data[-2:]


def exif(tags: int, rationals: int = 0) -> bytes:
    """Return EXIF of so many tags of 4 bytes and, where it has any, one of so many fractions, to be turned."""
    rows = [(0x112, 3, 1, 6), *([(0x9000, 5, rationals, 8)] if rationals else []), *((i, 7, 4, 0) for i in range(tags))]
    packed = b"".join(struct.pack("<HHII", *row) for row in rows)
    head = b"II*\0" + struct.pack("<IH", 8, len(rows))
    return head + packed + bytes(4) + struct.pack("<II", 1, 3) * rationals


def with_exif(kind: str, data: bytes) -> bytes:
    """Return a picture with EXIF: of a JPEG, in as many segments as it takes."""
    if kind == "WEBP":
        return encoded(half(), "WEBP", exif=data)
    if kind == "PNG":
        return in_pieces(chunk(b"eXIf", data), 1, "PNG")
    if kind == "packed":
        text = b"\nexif\n  10\n" + data.hex().encode()
        return in_pieces(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)), 1, "PNG")
    parts = [b"Exif\0\0" + data[start : start + 65_000] for start in range(0, len(data), 65_000)]
    return in_pieces(b"".join(b"\xff\xe1" + struct.pack(">H", 2 + len(part)) + part for part in parts), 1)


def exif_of(kind: str, tags: int, rationals: int = 0) -> bytes:
    return with_exif(kind, exif(tags, rationals))


MANY = 2**23 // 4
# Made in the tests: encoding them takes a second, which every process that collects the tests would spend.
BOMBS: dict[str, Callable[[], bytes]] = {
    "png": lambda: png_bomb(50_000),
    "a png a little too large": lambda: png_bomb(int(MAX_PIXELS**0.5) + 1),
    "jpeg": lambda: jpeg_bomb(65_000),
    "many scans": lambda: (
        encoded(half(), "JPEG", progressive=True) + 200 * (SCAN + b"\x00\x08\x01\x01\x00\x00\x3f\x00")
    ),
    "many scans of many pixels": lambda: of_scans(4000, 50),
    "a webp that takes far more memory than its file": lambda: encoded(half(size=(4000, 2001)), "WEBP"),
    "a jpeg of segments": lambda: in_pieces(b"\xff\xe0\0\2", MANY),
    "a jpeg of markers": lambda: in_pieces(b"\xff\xd0", MANY),
    "a jpeg of padding": lambda: in_pieces(b"\xff", MANY),
    "a jpeg of nothing that is known": lambda: in_pieces(b"\0", MANY),
    "a png of chunks": lambda: in_pieces(chunk(b"teSt", b""), MANY // 4, "PNG"),
    **{f"a {kind} with many tags of EXIF": partial(exif_of, kind, 65_000) for kind in ("PNG", "JPEG", "WEBP")},
    **{f"a {kind} with much EXIF": partial(exif_of, kind, 0, 900_000) for kind in ("PNG", "JPEG", "WEBP")},
    "gif": lambda: encoded(half("P"), "GIF"),
    "bmp": lambda: encoded(half(), "BMP"),
    "tiff": lambda: encoded(half(), "TIFF"),
    "cut off": lambda: encoded(half(size=(600, 600)), "PNG")[:60],
    "nothing": lambda: b"",
    "text": lambda: b"<svg/>",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_and_other_files_are_refused_before_they_are_decoded(name: str) -> None:
    data = BOMBS[name]()
    started = time.process_time()
    with pytest.raises(PhotoError):
        read(data, 64, 64, 3)
    assert time.process_time() - started < 0.1


WITHIN: dict[str, Callable[[], bytes]] = {
    "scans": lambda: of_scans(64, 90),
    "webp": lambda: encoded(half(size=(2000, 4000)), "WEBP"),
    "segments": lambda: in_pieces(b"\xff\xe0\0\2", MAX_PIECES // 2),
    "chunks": lambda: in_pieces(chunk(b"teSt", b""), MAX_PIECES // 2, "PNG"),
    **{f"exif of a {kind}": partial(exif_of, kind, 5000) for kind in ("PNG", "JPEG", "WEBP")},
    "packed exif": partial(exif_of, "packed", 40_000),
}


@pytest.mark.parametrize("name", WITHIN)
def test_what_is_within_the_bounds_is_read(name: str) -> None:
    data = WITHIN[name]()
    started = time.process_time()
    assert read(data, 16, 16, 3).shape == (16, 16, 3)
    assert time.process_time() - started < 1


def test_nothing_is_said_of_odd_exif_on_stderr(recwarn: pytest.WarningsRecorder) -> None:
    odd = b"II*\0" + struct.pack("<IH", 8, 100) + b"".join(struct.pack("<HHII", i, 7, 2**20, 8) for i in range(100))
    for kind in ("PNG", "JPEG", "WEBP"):
        assert read(with_exif(kind, odd), 16, 16, 3).shape == (16, 16, 3)
    assert [str(one.message) for one in recwarn] == []


@pytest.mark.parametrize("orientation", range(10))
def test_a_photo_is_turned_as_pillow_turns_it(orientation: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 16), np.uint8)
    meta = Image.Exif()
    meta[0x0112] = orientation
    image = Image.open(io.BytesIO(encoded(Image.fromarray(pixels), "PNG", exif=meta)))
    upright = np.asarray(ImageOps.exif_transpose(image))
    found = read(encoded(Image.fromarray(pixels), "PNG", exif=meta), *upright.shape, 1)
    np.testing.assert_array_equal(found[..., 0], upright)


STRIPS: dict[str, Callable[[], bytes]] = {
    "16 bits": lambda: encoded(Image.fromarray(np.zeros((125_000, 200), np.uint16))),
    "transparent": lambda: encoded(Image.new("RGBA", (200, 125_000))),
    "palette": lambda: encoded(Image.new("P", (125_000, 200)), transparency=0),
}


@pytest.mark.parametrize("name", STRIPS)
def test_of_a_long_strip_no_more_than_its_middle_is_copied(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = STRIPS[name]()
    converted, convert = [], Image.Image.convert

    def noted(image: Image.Image, *arguments: object, **options: object) -> Image.Image:
        converted.append(image.width * image.height)
        return convert(image, *arguments, **options)

    monkeypatch.setattr(Image.Image, "convert", noted)
    assert read(data, 64, 64, 3).shape == (64, 64, 3)
    assert max(converted) <= 200 * 200


def test_the_middle_of_a_turned_strip_is_as_it_is_turned() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.zeros((400, 1200), np.uint8)
    pixels[200:, 300:900] = 255  # below the middle, as it lies; turned by 90 degrees, left of it
    turned = read(encoded(Image.fromarray(pixels), "PNG", exif=exif), 32, 16, 1)
    assert turned[6:26, :6].min() > 235
    assert turned[6:26, 10:].max() < 20


@given(st.sampled_from(["PNG", "JPEG", "WEBP"]), st.data())
def test_a_damaged_picture_is_read_or_refused(kind: str, data: st.DataObject) -> None:
    good = bytearray(encoded(half(), kind))
    for _ in range(data.draw(st.integers(1, 8))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(PhotoError):
        assert read(bytes(good), 16, 16, 3).shape == (16, 16, 3)
