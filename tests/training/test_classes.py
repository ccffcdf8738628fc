import json
import unicodedata
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from PIL import Image

from tests import DIGITS
from training import classes, images
from training.configs import ImagesConfig
from training.data_order import ClassOrder
from training.errors import InputError
from training.plan import data_lines

CONFIG = ImagesConfig(size=16, channels=1)
COUNTS = {"cat": 7, "dog": 8, "ünïcode 鳥": 5}


def fill(folder: Path, counts: dict[str, int] | None = None) -> Path:
    """Write grey images, each of its own level, to a folder for each class."""
    level = 0
    for name, count in (counts or COUNTS).items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.new("L", (16, 16), level := level + 1).save(folder / name / f"{i}.png")
    return folder


def pack(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*.*")):
            file.write(path, path.relative_to(folder))
    return archive


def labels(dataset: images.Dataset) -> list[int]:
    assert dataset.labels is not None
    found: list[int] = dataset.labels.tolist()
    return found


def test_the_first_folder_level_is_the_class_in_a_folder_and_in_a_zip(tmp_path: Path) -> None:
    folder = fill(tmp_path / "pets")
    (folder / "dog" / "puppies").mkdir()
    (folder / "dog" / "7.png").rename(folder / "dog" / "puppies" / "7.png")
    inside = fill(tmp_path / "wrapped" / "one folder that holds all")
    sources = folder, pack(folder, tmp_path / "pets.zip"), inside.parent, pack(inside.parent, tmp_path / "wrapped.zip")
    for source in sources:
        dataset = images.read(source, CONFIG, "folders")
        assert dataset.report.classes == COUNTS
        assert labels(dataset) == [0] * 7 + [1] * 8 + [2] * 5
        assert dataset.images[:, 0, 0, 0].tolist() == [*range(1, 21)]
    assert len({images.read(source, CONFIG, "folders").report.identity for source in sources}) == 1


def test_images_outside_of_every_class_are_skipped_and_named(tmp_path: Path) -> None:
    fill(tmp_path)
    Image.new("L", (16, 16)).save(tmp_path / "loose.png")
    report = images.read(tmp_path, CONFIG, "folders").report
    assert report.count == 20
    assert [skipped.file for skipped in report.skipped] == ["loose.png"]


def test_labels_of_an_idx_file_are_classes() -> None:
    dataset = images.read(DIGITS, CONFIG, "idx")
    assert list(dataset.report.classes) == [*"0123456789"]
    assert sum(dataset.report.classes.values()) == 400
    assert np.bincount(labels(dataset)).tolist() == list(dataset.report.classes.values())


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", ["labels.csv", "dataset.json"])
def test_a_table_names_the_class_of_each_file_by_its_path(tmp_path: Path, name: str, packed: bool) -> None:
    folder = fill(tmp_path / "pets")
    files = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.png"))][:18]
    pairs = [[file, i % 3] for i, file in enumerate(files)]
    if name.endswith(".csv"):
        text = "\ufefffile,class\n" + "".join(f'"{file}", number {label}\n' for file, label in pairs)
    else:
        text = json.dumps({"labels": pairs})
    (folder / name).write_text(text)
    source = pack(folder, tmp_path / "pets.zip") if packed else folder
    dataset = images.read(source, CONFIG, name)
    prefix = "number " if name.endswith(".csv") else ""
    assert dataset.report.classes == {f"{prefix}{i}": 6 for i in range(3)}
    assert labels(dataset) == [0, 1, 2] * 6
    assert len(dataset.report.skipped) == 2


def test_a_table_may_lie_elsewhere_and_name_files_without_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "deeper"
    folder.mkdir(parents=True)
    for i in range(16):
        Image.new("L", (16, 16)).save(folder / f"{i:02}.png")
    table = tmp_path / "mine.csv"
    table.write_text("".join(f"{i:02}.png,{'ab'[i % 2]}\n" for i in range(16)))
    assert images.read(tmp_path / "deep", CONFIG, str(table)).report.classes == {"a": 8, "b": 8}


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("roses", None),
        ("idx", None),
        ("missing.csv", None),
        ("short.csv", "1.png\n"),
        ("empty.csv", ""),
        ("other.json", "[1]"),
        ("broken.json", "{"),
        ("null.json", '{"labels": null}'),
        ("binary.csv", "\udcff"),
    ],
)
def test_what_is_no_table_of_classes_is_refused(tmp_path: Path, how: str, text: str | None) -> None:
    fill(tmp_path)
    if text is not None:
        (tmp_path / how).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InputError) as refused:
        images.read(tmp_path, CONFIG, how)
    assert "--classes" in str(refused.value)


@pytest.mark.parametrize("count", [1, 1001])
def test_there_are_two_to_a_thousand_classes(count: int) -> None:
    with pytest.raises(InputError):
        classes.number([str(i) for i in range(count)])
    assert len(classes.number([str(i) for i in range(1000)])[1]) == 1000


def test_numbers_are_in_the_order_of_their_values_and_names_in_that_of_their_letters() -> None:
    assert list(classes.number(["10", "9", "2"])[1]) == ["2", "9", "10"]
    assert list(classes.number(["10", "9", "b", "A"])[1]) == ["10", "9", "A", "b"]


def test_a_name_is_composed_and_bounded() -> None:
    def read(name: str) -> list[str | None]:
        return classes.read(Path(), "folders", [PurePosixPath(name) / "1.png", PurePosixPath("b/1.png")])

    assert read(unicodedata.normalize("NFD", "Ångström"))[0] == "Ångström"
    assert read("x" * 64)[0] == "x" * 64
    for bad in ("x" * 65, "\u202egnp", "\x1b[31m", " "):
        with pytest.raises(InputError):
            read(bad)


def test_a_folder_of_folders_without_the_flag_is_told_of_it(tmp_path: Path) -> None:
    fill(tmp_path)
    plain, labelled = (images.read(tmp_path, CONFIG, how).report for how in (None, "folders"))
    assert plain.classes == {}
    assert sum("--classes folders" in line for line in data_lines(plain, 16)) == 1
    assert not any("--classes folders" in line for line in data_lines(labelled, 16))
    assert not any("--classes folders" in line for line in data_lines(images.read(DIGITS, CONFIG).report, 16))


def test_small_and_lopsided_classes_cause_warnings() -> None:
    assert not [*classes.warnings({"a": 100, "b": 900})]
    assert len([*classes.warnings({"a": 15, "b": 100})]) == 1
    assert len([*classes.warnings({"a": 100, "b": 1001})]) == 1
    assert len([*classes.warnings({"a": 3, "b": 1001})]) == 2
    assert not [*classes.warnings({})]


def test_an_unknown_class_is_refused_with_the_nearest_names() -> None:
    known = ("cat", "dog", "caterpillar", "Ångström")
    assert classes.find("dog", known) == 1
    assert classes.find(unicodedata.normalize("NFD", "Ångström"), known) == 3
    with pytest.raises(InputError) as refused:
        classes.find("catt", known)
    assert "cat" in str(refused.value)
    with pytest.raises(InputError):
        classes.find("cat", ())


COUNTS_IN_ORDER = np.array([0] * 5 + [1] * 50 + [2] * 11)


@pytest.mark.parametrize("group", [1, 4])
def test_a_balanced_order_shows_every_class_once_in_a_row_and_every_image_in_turn(group: int) -> None:
    numbers, shown = COUNTS_IN_ORDER, 180
    taken = ClassOrder(numbers, 3, group, balance=True).take(0, shown)
    assert all(len(set(row)) == 1 for row in numbers[taken].reshape(-1, group).tolist())
    assert all(sorted(row) == [0, 1, 2] for row in numbers[taken[::group]].reshape(-1, 3).tolist())
    for label in range(3):
        mine = taken[numbers[taken] == label]
        count = min(len(mine), int((numbers == label).sum()))
        assert len(set(mine[:count].tolist())) == count


def test_an_order_in_groups_shows_every_image_as_often_as_it_is_there() -> None:
    taken = ClassOrder(COUNTS_IN_ORDER, 3, 4, balance=False).take(0, 4 * 18 * 20)  # 2 + 13 + 3 groups an epoch
    assert all(len(set(row)) == 1 for row in COUNTS_IN_ORDER[taken].reshape(-1, 4).tolist())
    often = np.bincount(taken)
    assert len(often) == len(COUNTS_IN_ORDER)
    assert often.min() >= 20
    assert often.max() <= 33  # five images fill two groups of four


@pytest.mark.parametrize("balance", [False, True])
def test_an_order_is_a_function_of_the_seed_and_the_position(balance: bool) -> None:
    def order(seed: int = 3) -> ClassOrder:
        return ClassOrder(COUNTS_IN_ORDER, seed, 4, balance=balance)

    pieces = [order().take(at, 7) for at in range(0, 140, 7)]
    np.testing.assert_array_equal(np.concatenate(pieces), order().take(0, 140))
    assert not np.array_equal(order(4).take(0, 140), order().take(0, 140))
