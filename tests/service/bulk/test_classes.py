"""Balanced sets: ``python -m service generate --class``, ``--classes`` and ``--per-class``."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from service.bulk.command import generate
from service.bulk.options import Options
from service.bulk.plan import folders
from service.engine.renderer import Renderer
from service.errors import ServiceError
from tests.service.bulk.test_run import files


def run(models: Path, out: Path, **changes: Any) -> None:
    given: dict[str, Any] = {
        "out": out, "seed": None, "seeds": None, "model": "letters", "class_": None, "classes": None,
        "per_class": None, "truncation": 1.0, "direction": (), "shard_size": None,
        "shard": None,
    }  # fmt: skip
    generate(Options(**given | changes), Renderer(models), max_batch=4)


def class_of(data: bytes) -> str:
    return str(Image.open(io.BytesIO(data)).info["class"])


def test_each_class_has_a_folder_with_as_many_images_of_seeds_of_its_own(letters: Path, tmp_path: Path) -> None:
    run(letters, tmp_path, per_class=3)
    found = files(tmp_path)
    wanted = {f"{name}/seed{i + 3 * k:04d}.png" for i, name in enumerate(("A", "B", "Ça")) for k in range(3)}
    assert set(found) == wanted
    assert all(class_of(data) == path.split("/")[0] for path, data in found.items())


def test_more_of_each_class_are_added_to_those_that_are_there(
    letters: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(letters, tmp_path, per_class=3, classes="A,Ça")
    before = files(tmp_path)
    capsys.readouterr()
    run(letters, tmp_path, per_class=5)
    assert "6 existed already" in capsys.readouterr().out
    assert before.items() < files(tmp_path).items()
    assert len(files(tmp_path)) == 15


@pytest.mark.parametrize("out", ["set.zip", "set.tar"])
def test_an_archive_has_the_files_of_the_folders(letters: Path, tmp_path: Path, out: str) -> None:
    run(letters, tmp_path / "folder", seeds="4-6", classes="all")
    run(letters, tmp_path / out, seeds="4-6", classes="all")
    run(letters, tmp_path / out, seeds="4-6", classes="all")  # which finds that it is there
    if out.endswith(".zip"):
        with zipfile.ZipFile(tmp_path / out) as archive:
            packed = {name: archive.read(name) for name in archive.namelist()}
    else:
        with tarfile.open(tmp_path / out) as tar:
            packed = {one.name: tar.extractfile(one).read() for one in tar if one.name.endswith(".png")}  # type: ignore[union-attr]
    assert packed == files(tmp_path / "folder")
    assert len(packed) == 9


def test_all_images_are_of_one_class_or_of_those_that_the_seeds_draw(letters: Path, tmp_path: Path) -> None:
    run(letters, tmp_path / "one", seeds="0-5", class_="B")
    assert {class_of(data) for data in files(tmp_path / "one").values()} == {"B"}
    run(letters, tmp_path / "own", seeds="0-5")
    assert len({class_of(data) for data in files(tmp_path / "own").values()}) > 1
    with pytest.raises(ServiceError, match="other images"):
        run(letters, tmp_path / "one", seeds="0-5", class_="A")


def test_one_image_has_class_truncation_and_direction(letters: Path, tmp_path: Path) -> None:
    run(letters, tmp_path / "1.png", seed=1, class_="Ça", truncation=0.5, direction=["weight=1.5", "1=-1"])
    text = Image.open(tmp_path / "1.png").info
    assert (text["class"], text["truncation"], text["directions"]) == ("Ça", "0.5", '{"weight": 1.5, "1": -1.0}')


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"seed": 1, "per_class": 2},
        {"seeds": "1", "per_class": 2},
        {"seed": 1, "classes": "A,B"},
        {"seeds": "1", "class_": "A", "classes": "B"},
        {"seeds": "1", "class_": "D"},
        {"seeds": "1", "classes": "A,D"},
        {"seeds": "1", "direction": ["weight"]},
        {"seeds": "1", "direction": ["slant=1"]},
        {"per_class": 2**31},
        {"model": "plain", "per_class": 2},
        {"model": "plain", "seeds": "1", "class_": "A"},
        {"model": "plain", "seeds": "1", "truncation": 0.5},
    ],
)
def test_what_cannot_be_meant_is_one_sentence(letters: Path, tmp_path: Path, asked: dict[str, Any]) -> None:
    with pytest.raises(ServiceError) as refused:
        run(letters, tmp_path / "out", **asked)
    assert "\n" not in str(refused.value)


def test_a_class_is_a_folder_that_every_system_takes() -> None:
    names = ["A", "猫", "a/b", "a_b", "..", "%", "x" * 64, "猫" * 64]
    made = folders(names)
    assert made == ["A", "猫", "a%2Fb", "a_b", "%2E.", "%25", "x" * 64, "class0007"]
