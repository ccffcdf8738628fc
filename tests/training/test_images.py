import gzip
import hashlib
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import DATA, DIGITS
from training import decode, images
from training.configs import ImagesConfig
from training.errors import InputError

GREY, RGB = ImagesConfig(size=32, channels=1), ImagesConfig(size=32, channels=3)


def fill(folder: Path, number: int = 16) -> Path:
    """Write ``number`` plain photos to a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 256, (number, 40, 50, 3), dtype=np.uint8)
    for i, pixels in enumerate(noise):
        Image.fromarray(pixels).save(folder / f"photo{i:02d}.png")
    return folder


@pytest.mark.parametrize("source", [DATA, DIGITS])
def test_idx_is_read_from_a_file_or_from_its_folder(source: Path) -> None:
    dataset = images.read(source, ImagesConfig(size=28, channels=1))
    raw = np.frombuffer(gzip.decompress(DIGITS.read_bytes()), np.uint8, offset=16).reshape(400, 1, 28, 28)
    np.testing.assert_array_equal(dataset.images, raw)
    assert dataset.report.count == 400
    assert dataset.report.sizes == {"28x28": 400}


def test_uncompressed_idx_is_read_and_enlarged(tmp_path: Path) -> None:
    plain = tmp_path / "t10k-images-idx3-ubyte"
    plain.write_bytes(gzip.decompress(DIGITS.read_bytes()))
    assert images.read(tmp_path, RGB).images.shape == (400, 3, 32, 32)


def test_of_several_idx_files_the_training_images_are_taken(tmp_path: Path) -> None:
    for name in ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"):
        (tmp_path / name).write_bytes(DIGITS.read_bytes())
    assert images.read(tmp_path, GREY).report.count == 400
    (tmp_path / "train-images-idx3-ubyte.gz").rename(tmp_path / "other-idx3-ubyte.gz")
    with pytest.raises(InputError, match="contains several idx files"):
        images.read(tmp_path, GREY)


@pytest.mark.parametrize("cut", [slice(0, 5000), slice(0, 20), slice(0, 10)])
def test_a_damaged_idx_file_is_refused(tmp_path: Path, cut: slice) -> None:
    plain, packed = tmp_path / "a-idx3-ubyte", tmp_path / "b-idx3-ubyte.gz"
    plain.write_bytes(gzip.decompress(DIGITS.read_bytes())[cut])
    packed.write_bytes(DIGITS.read_bytes()[:5000])
    for path in (plain, packed):
        with pytest.raises(InputError, match="is damaged"):
            images.read(path, GREY)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("config", [GREY, RGB])
def test_every_mode_is_converted_to_grey_or_rgb(tmp_path: Path, mode: str, config: ImagesConfig) -> None:
    fill(tmp_path, 15)
    suffix = "tif" if mode == "CMYK" else "png"
    picture = (
        Image.new(mode, (40, 40), 65535 if mode == "I;16" else None) if mode == "I;16" else Image.new(mode, (40, 40))
    )
    picture.save(tmp_path / f"z.{suffix}")
    dataset = images.read(tmp_path, config)
    assert dataset.images.shape == (16, config.channels, 32, 32)
    assert dataset.images.dtype == np.uint8
    white = {"I;16", "LA", "RGBA", "CMYK"}  # full scale, wholly transparent, or no ink
    assert set(np.unique(dataset.images[15])) == {255 if mode in white else 0}


@pytest.mark.parametrize("suffix", ["jpg", "webp", "bmp", "gif", "tiff", "avif"])
def test_every_format_is_read_in_nested_folders(tmp_path: Path, suffix: str) -> None:
    fill(tmp_path / "deep" / "deeper")
    Image.new("RGB", (64, 48), "red").save(tmp_path / "deep" / f"red.{suffix}")
    assert images.read(tmp_path, RGB).report.count == 17


def test_images_are_rotated_by_exif_and_cropped_to_the_central_square(tmp_path: Path) -> None:
    fill(tmp_path, 15)
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[:16, 32:64] = 255  # the upper half of the middle
    exif = Image.Exif()
    exif[0x0112] = 3  # the camera was upside down
    Image.fromarray(pixels).save(tmp_path / "z.png", exif=exif)
    last = images.read(tmp_path, GREY).images[15, 0]
    assert (last[:16] == 0).all()
    assert (last[16:] == 255).all()


def test_a_damaged_file_is_skipped_and_named_in_the_report(tmp_path: Path) -> None:
    fill(tmp_path)
    whole = (tmp_path / "photo00.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "text.gif").write_text("not a picture")
    (tmp_path / "notes.txt").write_text("not looked at")
    Image.new("RGB", (8, 8)).save(tmp_path / "icon.png")
    report = images.read(tmp_path, RGB).report
    assert report.count == 16
    assert {skipped.file for skipped in report.skipped} == {"cut.png", "empty.jpg", "text.gif", "icon.png"}
    reasons = {skipped.reason for skipped in report.skipped}
    assert {"too small (8x8)", "not an image that Pillow can read"} <= reasons


def pack(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder))
    return archive


def test_a_zip_gives_the_same_images_as_its_folder(tmp_path: Path) -> None:
    folder = fill(tmp_path / "photos" / "deep").parent
    archive = pack(folder, tmp_path / "photos.zip")
    packed = images.read(archive, RGB)
    assert packed.report.digest == images.read(folder, RGB).report.digest
    assert packed.report.name == "photos"


def test_nested_zips_are_read_and_damaged_members_are_skipped(tmp_path: Path) -> None:
    inner = tmp_path / "outer"
    fill(inner)
    pack(fill(tmp_path / "more", 3), inner / "more.zip")
    (inner / "cut.zip").write_bytes((inner / "more.zip").read_bytes()[:1000])
    (inner / "._photo00.png").write_bytes(b"a Mac's notes")
    data = bytearray(pack(inner, tmp_path / "outer.zip").read_bytes())
    start = data.index((inner / "photo07.png").read_bytes())
    data[start + 2000] ^= 255
    (tmp_path / "outer.zip").write_bytes(data)
    report = images.read(tmp_path / "outer.zip", RGB).report
    assert report.count == 18
    assert [skipped.file for skipped in report.skipped] == ["outer.zip/cut.zip", "outer.zip/photo07.png"]
    assert "Bad CRC-32" in report.skipped[1].reason


@pytest.mark.parametrize("name", ["a.ppm", "a.PGM", "a.tga", "a.jp2", "a.jpe", "IMG_0001"])
def test_rarer_formats_and_files_without_an_extension_are_read(tmp_path: Path, name: str) -> None:
    fill(tmp_path, 15)
    kind = {"a.PGM": "PPM", "a.jpe": "JPEG", "IMG_0001": "JPEG"}.get(name)
    Image.new("RGB", (64, 48), "red").save(tmp_path / name, kind)
    dataset = images.read(tmp_path, RGB)
    assert dataset.report.count == 16
    red = dataset.images[0]
    assert red[0].min() > 250
    assert red[1:].max() < 5


def test_an_iphones_photo_is_read_with_pillow_heif_and_else_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    fill(tmp_path)
    pillow_heif.from_pillow(Image.new("RGB", (64, 48), "blue")).save(tmp_path / "a.HEIC")
    assert images.read(tmp_path, RGB).report.count == 17
    monkeypatch.setattr(decode, "formats", lambda: tuple(name for name in decode.FORMATS if name != "HEIF"))
    (skipped,) = images.read(tmp_path, RGB).report.skipped
    assert (skipped.file, skipped.reason) == ("a.HEIC", decode.NEEDS_HEIF)


def test_pictures_of_other_kinds_are_listed_as_skipped(tmp_path: Path) -> None:
    fill(tmp_path)
    names = ["logo.svg", "photo.CR2", "film.mp4", "LICENSE"]
    for name in names:
        (tmp_path / name).write_text("<svg/>")
    (tmp_path / ".DS_Store").write_bytes(b"")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref")
    report = images.read(tmp_path, RGB).report
    assert sorted(skipped.file for skipped in report.skipped) == sorted(names)


def test_a_file_that_would_run_a_program_is_not_opened(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "drawing").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n")
    (skipped,) = images.read(tmp_path, RGB).report.skipped
    assert skipped.reason == "not an image that Pillow can read"


def test_linked_folders_are_read_and_a_link_to_itself_ends(tmp_path: Path) -> None:
    fill(tmp_path / "photos" / "deep")
    fill(tmp_path / "elsewhere", 3)
    (tmp_path / "photos" / "linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "again").symlink_to(tmp_path / "photos")
    (tmp_path / "photos" / "broken.png").symlink_to(tmp_path / "nowhere.png")
    assert images.read(tmp_path / "photos", RGB).report.count == 19


@pytest.mark.parametrize(
    ("kind", "white"), [(np.float32, 1), (np.float32, 255), (np.float32, 65535), (np.int32, 255), (np.int32, 65535)]
)
def test_values_of_32_bits_are_scaled_by_the_usual_white(tmp_path: Path, kind: type, white: float) -> None:
    fill(tmp_path, 15)
    half = np.full((40, 40), white, kind)
    half[:, :20] = white / 2
    Image.fromarray(half).save(tmp_path / "z.tif")
    last = images.read(tmp_path, GREY).images[15, 0]
    assert last[:, 0].tolist() == pytest.approx([127] * 32, abs=1)
    assert set(last[:, -1].tolist()) == {255}


def test_values_that_are_no_numbers_are_black_and_large_ones_are_scaled_to_the_largest(tmp_path: Path) -> None:
    fill(tmp_path, 15)
    values = np.full((40, 40), 4e6, np.float32)
    values[:, :20] = np.nan
    Image.fromarray(values).save(tmp_path / "z.tiff")
    last = images.read(tmp_path, GREY).images[15, 0]
    assert (last[0, 0], last[0, -1]) == (0, 255)


def test_what_the_square_cuts_off_is_reported(tmp_path: Path) -> None:
    fill(tmp_path, 15)
    Image.new("RGB", (4000, 120)).save(tmp_path / "panorama.png")
    assert images.read(tmp_path, RGB).report.cut_off == {"panorama.png": pytest.approx(0.97)}
    assert images.read(tmp_path, ImagesConfig(size=32, channels=3, crop="pad")).report.cut_off == {}


def test_transparency_is_counted_and_put_on_the_background(tmp_path: Path) -> None:
    fill(tmp_path, 15)
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(tmp_path / "z.png")
    Image.new("RGBA", (40, 40), (0, 0, 0, 255)).save(tmp_path / "opaque.png")
    dataset = images.read(tmp_path, ImagesConfig(size=32, channels=3, background="#00f"))
    assert dataset.report.transparent == 1
    assert dataset.images[16, :, 0, 0].tolist() == [0, 0, 255]


def test_images_that_are_there_twice_are_reported_and_not_among_the_distinct_ones(tmp_path: Path) -> None:
    fill(tmp_path)
    gradient = Image.linear_gradient("L").convert("RGB")
    gradient.save(tmp_path / "photo03.png")
    gradient.resize((99, 99)).save(tmp_path / "z.webp", quality=80)
    (tmp_path / "a.png").write_bytes((tmp_path / "photo05.png").read_bytes())
    dataset = images.read(tmp_path, RGB)
    assert dataset.report.duplicates == {"photo05.png": "a.png", "z.webp": "photo03.png"}
    assert dataset.distinct.tolist() == [i for i in range(18) if i not in (6, 17)]


def test_padding_keeps_the_whole_image_on_white(tmp_path: Path) -> None:
    fill(tmp_path, 15)
    Image.new("RGB", (96, 48)).save(tmp_path / "z.png")
    image = images.read(tmp_path, ImagesConfig(size=32, channels=1, crop="pad")).images[15, 0]
    assert (image[8:24] == 0).all()
    assert (image[:8] == 255).all()
    assert (image[24:] == 255).all()


def test_a_huge_photo_is_read_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    fill(tmp_path, 15)
    Image.new("1", (9500, 9500)).save(tmp_path / "huge.png")
    assert images.read(tmp_path, GREY).report.count == 16
    assert not [warning for warning in recwarn if issubclass(warning.category, Image.DecompressionBombWarning)]


def test_too_few_images_are_refused_with_the_first_reason(tmp_path: Path) -> None:
    fill(tmp_path, 15)
    (tmp_path / "broken.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"15 usable images, and training needs at least 16.*broken.png was skipped"):
        images.read(tmp_path, RGB)


def test_an_unknown_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        images.read(tmp_path / "nowhere", RGB)
    (tmp_path / "file.txt").write_text("hello")
    with pytest.raises(InputError, match="neither a folder of images, nor a zip of images, nor an idx file"):
        images.read(tmp_path / "file.txt", RGB)


def test_the_digest_depends_on_the_pixels(tmp_path: Path) -> None:
    fill(tmp_path)
    first = images.read(tmp_path, RGB).report.digest
    assert images.read(tmp_path, RGB).report.digest == first
    Image.new("RGB", (40, 40)).save(tmp_path / "photo00.png")
    assert images.read(tmp_path, RGB).report.digest != first


def test_peak_memory_is_one_copy_of_the_images(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    for i in range(200):
        Image.fromarray(pixels).save(tmp_path / f"{i:03}.bmp")
    (tmp_path / "100.bmp").write_bytes(b"damaged")
    config = ImagesConfig(size=256, channels=3)
    images.read(DIGITS, GREY)  # what is imported and cached stays out of the figure
    tracemalloc.start()
    dataset = images.read(tmp_path, config)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert dataset.images.shape == (199, 3, 256, 256)
    assert peak < 1.5 * dataset.images.nbytes  # it was 3 times


def test_a_skipped_file_leaves_no_gap_in_the_array(tmp_path: Path) -> None:
    for i in range(20):
        Image.new("L", (32, 32), i * 10).save(tmp_path / f"{i:02}.png")
    (tmp_path / "07.png").write_bytes(b"damaged")
    dataset = images.read(tmp_path, GREY)
    assert dataset.images[:, 0, 0, 0].tolist() == [i * 10 for i in range(20) if i != 7]
    assert [skipped.file for skipped in dataset.report.skipped] == ["07.png"]
    assert dataset.report.digest == hashlib.sha256(dataset.images.tobytes()).hexdigest()
