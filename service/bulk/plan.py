"""What to draw without a server: which seeds, in which classes, into which files."""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from service.contract import Card
from service.engine import latents
from service.engine.requests import seed_name
from service.errors import ServiceError
from service.formats import archives

SHARD = re.compile(r"\{(0+)\}")  # in a file name: the shard's number, of so many digits
SHARD_SIZE = 1000
OF_RUN = re.compile(r"([0-9]{1,10})/([0-9]{1,10})")  # --shard 3/16
UNSAFE = re.compile(r'[/\\:*?"<>|%]|^\.')  # in the name of a folder, on some system
MAX_FOLDER = 72  # bytes: a file system takes 255, and a tar's path 100


class Wanted(NamedTuple):
    """An image to draw: its name in a folder or archive, without extension; its seed; its class, if not the seed's."""

    name: str
    seed: int
    label: int | None = None


class Part(NamedTuple):
    """A file to write, and its images."""

    path: Path
    images: Sequence[Wanted]


class Group(NamedTuple):
    """Seeds, ascending and none twice, that are drawn in one class, into a folder of it."""

    seeds: Sequence[range]
    folder: str = ""
    label: int | None = None

    def images(self) -> Iterator[Wanted]:
        """Yield the images; there may be very many."""
        for seed in itertools.chain.from_iterable(self.seeds):
            yield Wanted(f"{self.folder}{seed_name(seed)}", seed, self.label)

    def cut(self, first: int, last: int) -> "Group":
        """Return the images from ``first`` to before ``last``, counted from 0; what is beyond the ends is not there."""
        cut, before = [], 0
        for seeds in self.seeds:
            cut.append(seeds[max(0, first - before) : max(0, last - before)])
            before += len(seeds)
        return self._replace(seeds=[seeds for seeds in cut if seeds])


@dataclass(frozen=True)
class Plan:
    """What to draw.

    Attributes:
        groups: one, or one for each class.
        out: as the user wrote it.
        shard_size: images in a file, if ``out`` has a place for its number.
        first: the number of the first file.
    """

    groups: Sequence[Group]
    out: Path
    shard_size: int = SHARD_SIZE
    first: int = 0

    def __len__(self) -> int:
        return sum(map(_count, self.groups))

    def shard(self, number: int, count: int) -> "Plan":
        """Return the ``number``-th of ``count`` plans, from 1, which together write the files of this one, each once.

        They are runs of files that follow each other, as even as can be. A file of many images is written by one.
        """
        numbered = self.out.suffix in archives.KINDS
        size = self.shard_size if numbered else 1
        files = math.ceil(len(self) / size)
        first, last = (files * part // count for part in (number - 1, number))
        groups, before = [], 0
        for group in self.groups:
            groups.append(group.cut(first * size - before, last * size - before))
            before += _count(group)
        return replace(self, groups=groups, first=first if numbered else 0)

    def make_folders(self) -> None:
        """Make the folders for a PNG of each image; raises OSError."""
        if self.out.suffix not in archives.KINDS:
            for group in self.groups:
                (self.out / group.folder).mkdir(parents=True, exist_ok=True)

    def parts(self) -> Iterator[Part]:
        """Yield the files to write; there may be very many."""
        images = itertools.chain.from_iterable(group.images() for group in self.groups)
        if self.out.suffix not in archives.KINDS:
            yield from (Part(self.out / f"{one.name}.png", (one,)) for one in images)
        elif SHARD.search(self.out.name):
            for number in range(math.ceil(len(self) / self.shard_size)):
                yield Part(_numbered(self.out, self.first + number), tuple(itertools.islice(images, self.shard_size)))
        else:
            yield Part(self.out, tuple(images))

    def in_classes(self, card: Card, labels: Sequence[int], per_class: int | None = None) -> "Plan":
        """Return a plan with a folder for each class: of the same seeds, or of ``per_class`` seeds of its own.

        Class k of K then has the seeds k, k + K, k + 2 K …, so that more images of a class are added to those there.
        """
        names = folders(card.classes)
        step = len(card.classes)
        if step * (per_class or 0) > latents.SEEDS:
            raise ServiceError(f"--per-class {per_class}: {step} classes have {latents.SEEDS // step} seeds each")
        groups = [
            Group(
                self.groups[0].seeds if per_class is None else [range(label, label + step * per_class, step)],
                f"{names[label]}/",
                label,
            )
            for label in labels
        ]
        return replace(self, groups=groups)


def _count(group: Group) -> int:
    """Return how many images a group has."""
    return sum(map(len, group.seeds))


def _numbered(out: Path, number: int) -> Path:
    return out.with_name(SHARD.sub(lambda found: str(number).zfill(len(found[1])), out.name))


def plan(seeds: str, out: Path, shard_size: int | None) -> Plan:
    """Return a plan of the command line's options; raises ServiceError."""
    if out.suffix == ".png":
        raise ServiceError(f"{out} holds one image; with --seeds or --per-class, name a folder, a .zip or a .tar")
    if SHARD.search(out.name):
        if out.suffix not in archives.KINDS:
            raise ServiceError(f"--out {out}: shards are .zip or .tar files, such as faces-{{000000}}.tar")
    elif shard_size is not None:
        raise ServiceError("--shard-size needs shards: write {000000} in --out as the place of their number")
    elif out.suffix and out.suffix not in archives.KINDS and not out.is_dir():
        raise ServiceError(f"--out {out}: name a .zip, a .tar, or a folder, which has no ending or exists")
    return Plan([Group(read_seeds(seeds))], out, shard_size or SHARD_SIZE)


def read_shard(text: str, out: Path) -> tuple[int, int]:
    """Return the number and the count of ``3/16``; raises ServiceError, also for an ``out`` that cannot be shared."""
    match = OF_RUN.fullmatch(text)
    number, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= number <= count:
        raise ServiceError(f"--shard {text}: write which of how many, from 1, such as 3/16")
    if out.suffix in archives.KINDS and not SHARD.search(out.name):
        numbered = f"{out.stem}-{{0000}}{out.suffix}"
        raise ServiceError(f"--shard writes whole files; {out} is one: name a folder, or {numbered} for many")
    return number, count


def folders(classes: Sequence[str]) -> list[str]:
    """Return a folder's name for each class: its own, percent-encoded where a system would not take it."""
    names = [UNSAFE.sub(lambda found: f"%{ord(found[0]):02X}", name) for name in classes]
    return [name if len(name.encode()) <= MAX_FOLDER else f"class{number:04d}" for number, name in enumerate(names)]


def read_seeds(text: str) -> list[range]:
    """Return the seeds that ``0-999`` or ``1,5,9-12`` names, ascending and each once; raises ServiceError."""
    found: list[range] = []
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < latents.SEEDS:
            sentence = "write numbers from 0 to 4294967295 and ascending ranges, such as 0-999 or 1,5,9-12"
            raise ServiceError(f"--seeds {text}: {sentence}")
        found.append(range(first, last + 1))
    return _merge(found)


def _merge(ranges: Iterable[range]) -> list[range]:
    merged: list[range] = []
    for one in sorted(ranges, key=lambda one: one.start):
        if merged and one.start <= merged[-1].stop:
            merged[-1] = range(merged[-1].start, max(merged[-1].stop, one.stop))
        else:
            merged.append(one)
    return merged
