"""The class of each image of a source: its folder, a label of an idx file, or a line of a table.

A table is a CSV file with a file and its class on each line, or StyleGAN's ``dataset.json``. It lies anywhere on the
disk, or in the folder or zip of the images.
"""

import csv
import difflib
import io
import json
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from training.errors import InputError
from training.metrics import labels as idx

FEWEST, MOST = 2, 1000  # classes
MAX_NAME = 64  # characters
SMALL = 16  # images; a class with fewer hardly shows what it is
LOPSIDED = 10  # times as many images in the largest class as in the smallest
KINDS = "folders, idx, a .csv file with a file and its class on each line, or StyleGAN's dataset.json"

Labels = NDArray[np.int64]  # (N,)


def read(source: Path, how: str, files: Sequence[PurePosixPath]) -> list[str | None]:
    """Return the name of each file's class, None for a file that has none.

    Args:
        source: the folder, zip or idx file of the images.
        how: ``folders``, ``idx``, or the name of a table.
        files: paths inside of the source.

    Raises:
        InputError: ``how`` is unknown, or what it names cannot be read.
    """
    if how == "folders":
        return [_tidy(folder) if folder else None for folder in _folders(files)]
    if how == "idx":
        return _from_idx(source, len(files))
    if not how.endswith((".csv", ".json")):
        raise InputError(f"--classes {how} is unknown; use {KINDS}")
    text = _text(source, how)
    table = _from_csv(text, how) if how.endswith(".csv") else _from_json(text, how)
    return _look_up(table, files)


def number(names: Sequence[str]) -> tuple[Labels, dict[str, int]]:
    """Number the classes in the order of their names.

    Args:
        names: of the class of each image.

    Returns:
        The label of each image, and the number of images of each class, in the order of the labels.

    Raises:
        InputError: there are fewer than 2 classes, or more than 1,000.
    """
    counts = Counter(names)
    if not FEWEST <= len(counts) <= MOST:
        found = f"only one class, {next(iter(counts))}," if len(counts) == 1 else f"{len(counts):,} classes"
        raise InputError(f"--classes found {found} and a model has {FEWEST} to {MOST:,}; train without --classes")
    ordered = sorted(counts, key=int if all(name.isdecimal() and name.isascii() for name in counts) else str)
    numbers = {name: i for i, name in enumerate(ordered)}
    return np.array([numbers[name] for name in names], np.int64), {name: counts[name] for name in ordered}


def count_folders(files: Sequence[PurePosixPath]) -> int:
    """Return how many classes ``--classes folders`` would make."""
    return len({folder for folder in _folders(files) if folder})


def warnings(counts: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for what the numbers of images of the classes make difficult."""
    small = [name for name, count in counts.items() if count < SMALL]
    if small:
        more = f" and {len(small) - 5} more" if len(small) > 5 else ""
        yield f"classes with fewer than {SMALL} images will be drawn badly: {', '.join(small[:5])}{more}"
    if counts and max(counts.values()) > LOPSIDED * min(counts.values()):
        least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        yield (
            f"the classes are lopsided, from {least} with {counts[least]:,} images to {most} with {counts[most]:,}; "
            "--set balance=true shows all of them equally often"
        )


def absolute(how: str | None) -> str | None:
    """Return ``how`` in a form that means the same in another folder, where a run may be resumed."""
    return str(Path(how).absolute()) if how and Path(how).is_file() else how


def _folders(files: Sequence[PurePosixPath]) -> list[str | None]:
    """Return the first folder of each file, below a folder that all of them are in; a zip is a folder, too."""
    parts = [path.parts for path in files]
    while parts and all(len(part) > 2 and part[0] == parts[0][0] for part in parts):
        parts = [part[1:] for part in parts]
    return [part[0].removesuffix(".zip") if len(part) > 1 else None for part in parts]


def _from_idx(source: Path, count: int) -> list[str | None]:
    found = idx.find(source, count)
    if found is None:
        raise InputError(f"--classes idx: there is no idx1 file of labels beside the images of {source}")
    return [str(label) for label in found.tolist()]


def _text(source: Path, name: str) -> str:
    """Read a table from the disk, or from the folder or zip of the images."""
    try:
        if (path := Path(name)).is_file() or (path := source / name).is_file():
            return path.read_text("utf-8-sig")  # Excel writes a byte order mark
        if source.is_file() and zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                return archive.read(name).decode("utf-8-sig")
    except (OSError, KeyError, UnicodeDecodeError, zipfile.BadZipFile, RuntimeError) as error:
        raise InputError(f"--classes {name} cannot be read as UTF-8 text: {error}") from error
    raise InputError(f"--classes {name}: there is no such file, neither on its own nor in {source}")


def _from_csv(text: str, name: str) -> dict[str, str]:
    rows = [row for row in csv.reader(io.StringIO(text)) if any(row)]
    if not rows or any(len(row) < 2 for row in rows):
        raise InputError(f"--classes {name}: each line must have a file and its class, such as photos/1.jpg,cat")
    return {row[0].strip(): _tidy(row[1]) for row in rows}


def _from_json(text: str, name: str) -> dict[str, str]:
    """Read StyleGAN's ``{"labels": [["00000/img00000000.png", 6], …]}``."""
    try:
        pairs = json.loads(text)["labels"]
        return {str(file): _tidy(str(label)) for file, label in pairs}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f'--classes {name} does not hold {{"labels": [[file, class], …]}}, as StyleGAN does'
        ) from error


def _look_up(table: Mapping[str, str], files: Sequence[PurePosixPath]) -> list[str | None]:
    """Find each file by its path, or else by its name alone where no two files share it."""
    names = Counter(path.name for path in files)
    return [table.get(str(path)) or (table.get(path.name) if names[path.name] == 1 else None) for path in files]


def _tidy(name: str) -> str:
    """Return a name in Unicode's composed form; raises InputError for one that no request could hold."""
    tidy = unicodedata.normalize("NFC", name).strip()
    if not tidy or len(tidy) > MAX_NAME or not tidy.isprintable():
        raise InputError(f"{tidy[:MAX_NAME]!r} cannot name a class: use 1 to {MAX_NAME} printable characters")
    return tidy


def find(name: str, classes: Sequence[str]) -> int:
    """Return the label of a class by its name; raises InputError with the nearest names for another."""
    tidy = unicodedata.normalize("NFC", name).strip()
    if tidy in classes:
        return classes.index(tidy)
    if not classes:
        raise InputError(f"class {name!r}: this generator was trained without classes")
    near = difflib.get_close_matches(tidy, classes, n=5, cutoff=0) or classes[:5]
    raise InputError(f"there is no class {name!r}; the nearest are {', '.join(near)}")
