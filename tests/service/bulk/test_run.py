import errno
import io
import itertools
import math
import tarfile
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from service.bulk import plan
from service.bulk import run as bulk
from service.bulk.run import Bulk
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.errors import ServiceError
from service.formats import archives
from service.formats.archives import Kind, Sample
from service.formats.registry import image_formats, named

QUIET = Console(file=io.StringIO())


def draw(renderer: Renderer, seeds: str, out: Path, *, truncation: float = 1.0, shard_size: int | None = None) -> Bulk:
    request = RenderRequest(renderer.library.find("rgb"), truncation)
    drawing = Bulk(plan.plan(seeds, out, shard_size), renderer, request, batch=3)
    drawing.run(QUIET)
    return drawing


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), min_size=1, max_size=6))
def test_seeds_are_read_rising_and_each_once(pairs: list[tuple[int, int]]) -> None:
    text = ",".join(f"{first}-{first + more}" if more else str(first) for first, more in pairs)
    wanted = sorted({seed for first, more in pairs for seed in range(first, first + more + 1)})
    assert list(itertools.chain(*plan.read_seeds(text))) == wanted


@pytest.mark.parametrize(
    "text", ["", "a", "5-3", "-1", "1-", "1,,2", "4294967296", "0-4294967296", "1.5", "٣", "9" * 5000]
)
def test_other_seeds_are_refused_with_how_to_write_them(text: str) -> None:
    with pytest.raises(ServiceError, match="such as 0-999"):
        plan.read_seeds(text)


def test_very_many_files_are_planned_one_after_another(tmp_path: Path) -> None:
    planned = plan.plan("0-4294967295", tmp_path / "a-{00}.zip", 2)
    assert len(planned) == 2**32
    parts = [(part.path, [one.seed for one in part.images]) for part in itertools.islice(planned.parts(), 2)]
    assert parts == [(tmp_path / "a-00.zip", [0, 1]), (tmp_path / "a-01.zip", [2, 3])]


@pytest.mark.parametrize(
    ("out", "shard_size", "said"),
    [
        ("1.png", None, "holds one image"),
        ("a-{00}", None, ".tar files, such as"),
        ("a.tar", 5, "needs shards"),
    ],
)
def test_an_out_that_cannot_be_meant_is_refused(out: str, shard_size: int | None, said: str) -> None:
    with pytest.raises(ServiceError, match=said):
        plan.plan("1", Path(out), shard_size)


def test_a_folder_has_the_bytes_that_the_server_sends(renderer: Renderer, tmp_path: Path) -> None:
    drawing = draw(renderer, "3,40-49,4294967295", tmp_path / "new" / "folder", truncation=0.5)
    assert (drawing.drawn, drawing.kept) == (12, 0)
    found = files(tmp_path / "new" / "folder")
    assert sorted(found) == sorted(f"seed{seed:04d}.png" for seed in (3, *range(40, 50), 2**32 - 1))
    for name, data in found.items():
        picture = RenderRequest(renderer.library.find("rgb"), 0.5, seeds=(int(name[4:-4]),))
        assert renderer.submit(picture, named("png"), math.inf)[0].result() == data


def test_an_archive_has_the_files_of_a_folder(renderer: Renderer, tmp_path: Path) -> None:
    draw(renderer, "0-9", tmp_path / "folder")
    draw(renderer, "0-9", tmp_path / "all.zip")
    draw(renderer, "0-9", tmp_path / "part-{000}.tar", shard_size=4)
    wanted = files(tmp_path / "folder")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == wanted
    found = {}
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == ["part-000.tar", "part-001.tar", "part-002.tar"]
    for path in tmp_path.glob("*.tar"):
        with tarfile.open(path) as shard:
            found |= {one.name: shard.extractfile(one).read() for one in shard if one.name.endswith(".png")}  # type: ignore[union-attr]
    assert found == wanted


@pytest.mark.parametrize("out", ["folder", "a-{0}.zip", "a-{0}.tar"])
def test_existing_files_are_not_drawn_again(renderer: Renderer, tmp_path: Path, out: str) -> None:
    shard_size = None if out == "folder" else 5
    draw(renderer, "0-9", tmp_path / out, shard_size=shard_size)
    before = files(tmp_path)
    drawing = draw(renderer, "0-14", tmp_path / out, shard_size=shard_size)
    assert (drawing.drawn, drawing.kept) == (5, 10)
    assert drawing.summary().startswith(f"5 images of rgb@1 drawn to {tmp_path / out} at ")
    assert drawing.summary().endswith("; 10 existed already.")
    assert before.items() < files(tmp_path).items()


def test_half_a_picture_is_drawn_again(renderer: Renderer, tmp_path: Path) -> None:
    draw(renderer, "0-3", tmp_path)
    before = files(tmp_path)
    for name, left in (("seed0000.png", 0), ("seed0001.png", 300), ("seed0002.png", 1200)):
        (tmp_path / name).write_bytes(before[name][:left])
    assert draw(renderer, "0-3", tmp_path).drawn == 3
    assert files(tmp_path) == before


@pytest.mark.parametrize("out", ["folder", "a.zip", "a.tar"])
def test_files_with_other_images_are_not_overwritten(renderer: Renderer, tmp_path: Path, out: str) -> None:
    draw(renderer, "0-4", tmp_path / out)
    before = files(tmp_path)
    with pytest.raises(ServiceError, match="holds other images"):
        draw(renderer, "0-4", tmp_path / out, truncation=0.7)
    assert files(tmp_path) == before


def test_a_full_disk_is_one_sentence_and_the_same_command_continues(
    renderer: Renderer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: IO[bytes], samples: Iterable[Sample]) -> None:
        if "seed0007" in file.name:
            file.write(b"half a picture")
            raise OSError(errno.ENOSPC, "No space left on device")
        archives._write_png(file, samples)

    with monkeypatch.context() as patch:
        patch.setitem(archives.KINDS, ".png", Kind(full, archives._read_png))
        with pytest.raises(
            ServiceError, match=r"cannot be written: No space left on device; the same command continues"
        ):
            draw(renderer, "0-20", tmp_path)
    assert len(files(tmp_path)) == 7
    assert draw(renderer, "0-20", tmp_path).kept == 7
    assert len(files(tmp_path)) == 21


def test_a_stopped_run_ends_between_two_images(renderer: Renderer, tmp_path: Path) -> None:
    drawing = Bulk(plan.plan("0-99", tmp_path, None), renderer, RenderRequest(renderer.library.find("rgb")), batch=3)
    with pytest.raises(KeyboardInterrupt):
        drawing.write(drawing.stop)  # which is called after each order of 12
    assert len(files(tmp_path)) == 12
    assert draw(renderer, "0-99", tmp_path).kept == 12


def test_a_folder_that_is_a_file_is_one_sentence(renderer: Renderer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServiceError, match=r"cannot be written: File exists$"):
        draw(renderer, "0", tmp_path / "file")


def test_an_archive_in_no_folder_draws_nothing(renderer: Renderer, tmp_path: Path) -> None:
    picture = RenderRequest(renderer.library.find("rgb"))
    drawing = Bulk(plan.plan("0-9", tmp_path / "no" / "a.zip", None), renderer, picture, batch=3)
    with pytest.raises(ServiceError, match=r"cannot be written: No such file or directory$"):
        drawing.run(QUIET)
    assert drawing.drawn == 0


def test_a_terminal_shows_how_far_it_is(renderer: Renderer, tmp_path: Path) -> None:
    screen = Console(file=io.StringIO(), force_terminal=True, width=80)
    Bulk(plan.plan("0-9", tmp_path, None), renderer, RenderRequest(renderer.library.find("rgb")), batch=3).run(screen)
    assert "10/10" in screen.file.getvalue()  # type: ignore[attr-defined]
    assert "images/s" in screen.file.getvalue()  # type: ignore[attr-defined]


def test_the_extension_of_one_file_chooses_its_format(renderer: Renderer, tmp_path: Path) -> None:
    request = RenderRequest(renderer.library.find("rgb"), seeds=(7,))
    for extension, answer_format in image_formats().items():
        bulk.draw_one(renderer, request, tmp_path / f"7.{extension}")
        sent = renderer.submit(request, answer_format, math.inf)[0].result()
        assert (tmp_path / f"7.{extension}").read_bytes() == sent
    bulk.draw_one(renderer, request, tmp_path / "7")
    assert (tmp_path / "7").read_bytes() == (tmp_path / "7.png").read_bytes()
    with pytest.raises(ServiceError, match=r"ends in \.png"):
        bulk.draw_one(renderer, request, tmp_path / "7.tif")
