"""Many pictures without a server: in full batches on every core, and a run that was stopped is gone on with.

What there is to do is a row of files, each with the seeds of its pictures: a PNG for one seed, an archive for many. A
file that is there and whole is not written again, so a run that was killed ends with what one that was not ends with.
"""

import contextlib
import itertools
import math
import re
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service import cpus
from service.engine import latents
from service.engine.renderer import Renderer
from service.errors import ServiceError
from service.formats import archives
from service.formats.archives import Sample
from service.formats.registry import FORMS, PNGS, Picture, seed_name

# Pictures are asked for by so many batches: whoever waits for them is woken less often, and wakes take the interpreter.
ORDER = 4
AHEAD = 2  # orders a core that are asked for at once: none idles while a file is written, and memory is bounded
SHARD = re.compile(r"\{(0+)\}")  # in a file name: the shard's number, of so many digits
SHARD_SIZE = 1000
LOOK = 0.2  # seconds between two looks whether to stop


class Part(NamedTuple):
    """A file to write, and the seeds of the pictures that it holds."""

    path: Path
    seeds: Sequence[int]


@dataclass(frozen=True)
class Plan:
    """What to draw: ``seeds`` rise and none stands twice; ``out`` as its user wrote it."""

    seeds: Sequence[range]
    out: Path
    shard_size: int = SHARD_SIZE

    def __len__(self) -> int:
        return sum(map(len, self.seeds))

    def make_folder(self) -> None:
        """Make the folder that a PNG for each seed goes into; raises OSError."""
        if self.out.suffix not in archives.KINDS:
            self.out.mkdir(parents=True, exist_ok=True)

    def parts(self) -> Iterator[Part]:
        """Yield the files to write, one after another: there may be very many."""
        seeds = itertools.chain.from_iterable(self.seeds)
        if self.out.suffix not in archives.KINDS:
            yield from (Part(self.out / f"{seed_name(seed)}.png", (seed,)) for seed in seeds)
        elif SHARD.search(self.out.name):
            for number in range(math.ceil(len(self) / self.shard_size)):
                yield Part(_numbered(self.out, number), tuple(itertools.islice(seeds, self.shard_size)))
        else:
            yield Part(self.out, tuple(seeds))


def _numbered(out: Path, number: int) -> Path:
    return out.with_name(SHARD.sub(lambda found: str(number).zfill(len(found[1])), out.name))


def plan(seeds: str, out: Path, shard_size: int | None) -> Plan:
    """Check what the command line says; raises ServiceError."""
    if out.suffix == ".png":
        raise ServiceError(f"{out} holds one picture; for --seeds name a folder, a .zip or a .tar")
    if SHARD.search(out.name):
        if out.suffix not in archives.KINDS:
            raise ServiceError(f"--out {out}: shards are .zip or .tar files, such as faces-{{000000}}.tar")
    elif shard_size is not None:
        raise ServiceError("--shard-size is of shards: write {000000} in --out where their number is to stand")
    return Plan(read_seeds(seeds), out, shard_size or SHARD_SIZE)


def read_seeds(text: str) -> list[range]:
    """Return the seeds that ``0-999`` or ``1,5,9-12`` names, rising and each once; raises ServiceError."""
    found: list[range] = []
    for part in text.split(","):
        match = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10}))?", part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not first <= last < latents.SEEDS:
            sentence = "write numbers from 0 to 4294967295 and rising ranges, such as 0-999 or 1,5,9-12"
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


def draw_one(renderer: Renderer, picture: Picture, out: Path) -> None:
    """Draw a picture to a PNG file; raises ServiceError."""
    drawn, _ = renderer.submit(picture, FORMS["image/png"], math.inf)
    try:
        out.write_bytes(drawn.result())
    except OSError as error:
        raise ServiceError(f"{out} cannot be written: {error.strerror}") from error


class Bulk:
    """Draws what a plan asks for, as ``picture``, which has no seeds yet, says how, in batches of ``batch``.

    Attributes:
        drawn: pictures that were drawn.
        kept: pictures that were there already.
    """

    def __init__(self, wanted: Plan, renderer: Renderer, picture: Picture, batch: int) -> None:
        self.drawn = self.kept = 0
        self._plan = wanted
        self._renderer = renderer
        self._picture = picture
        self._order = ORDER * batch
        self._started = time.monotonic()
        self._stopped = False

    def stop(self) -> None:
        """Let ``run`` raise KeyboardInterrupt between two pictures, as a handler of Ctrl-C that raises nothing itself.

        Raised wherever this thread is just then, it may leave a lock taken, for which those that draw wait for ever.
        """
        self._stopped = True

    def speed(self) -> str:
        """Return how many pictures were drawn a second."""
        return f"{self.drawn / (time.monotonic() - self._started):,.0f} images/s"

    def tell(self) -> str:
        """Return in words what there is now."""
        kept = f"; {self.kept:,} were there already" if self.kept else ""
        return (
            f"{self.drawn:,} pictures of {self._picture.model.ref} drawn to {self._plan.out} at {self.speed()}{kept}."
        )

    def run(self, console: Console) -> None:
        """Write what is not there yet, and show on a terminal how far that is.

        Raises:
            ServiceError: a file cannot be written, or one that is there holds other pictures.
        """
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
        # Each refresh takes the interpreter from the threads that draw: four a second are enough.
        progress = Progress(*columns, console=console, refresh_per_second=4, disable=not console.is_terminal)
        task = progress.add_task("", total=len(self._plan), speed="")

        def report() -> None:
            progress.update(task, completed=self.drawn + self.kept, speed=self.speed())

        try:
            with progress:
                self.write(report)
        except OSError as error:
            kept = "; the same command goes on with what is there" if self.drawn + self.kept else ""
            raise ServiceError(f"{self._plan.out} cannot be written: {error.strerror}{kept}") from error

    def write(self, report: Callable[[], None]) -> None:
        """Write what is not there yet, and call ``report`` now and then; raises OSError and ServiceError."""
        self._plan.make_folder()
        missing = (part for part in self._plan.parts() if not self._has(part, report))
        # One goes ahead and says what is to be drawn; the other follows and writes it.
        ahead, written = itertools.tee(missing)
        with contextlib.closing(self._draw((seed for part in ahead for seed in part.seeds), report)) as samples:
            for part in written:
                archives.write(part.path, itertools.islice(samples, len(part.seeds)))

    def _has(self, part: Part, report: Callable[[], None]) -> bool:
        """Tell whether a file is there and whole; raises ServiceError where it holds other pictures than these."""
        self._heed()
        found = archives.read(part.path)
        if found is None or (texts := found.texts()) is None:
            return False
        wanted = replace(self._picture, seeds=part.seeds[:1]).texts()
        if found.names != [seed_name(seed) for seed in part.seeds] or not wanted.items() <= texts.items():
            raise ServiceError(f"{part.path} holds other pictures than these; name another --out, or move it away")
        self.kept += len(part.seeds)
        report()
        return True

    def _draw(self, seeds: Iterator[int], report: Callable[[], None]) -> Generator[Sample]:
        """Yield the pictures of ``seeds``, in their order; those that follow are drawn meanwhile."""
        waiting: deque[tuple[Picture, Future[list[bytes]]]] = deque()
        try:
            while (order := tuple(itertools.islice(seeds, self._order))) or waiting:
                if order:
                    picture = replace(self._picture, seeds=order)
                    waiting.append((picture, self._renderer.submit(picture, PNGS, math.inf)[0]))
                if len(waiting) == AHEAD * cpus.available() or not order:
                    picture, drawn = waiting.popleft()
                    pngs = self._result(drawn)
                    self.drawn += len(picture)
                    report()
                    yield from _samples(picture, pngs)
        finally:
            for _, drawn in waiting:
                drawn.cancel()

    def _result(self, drawn: Future[list[bytes]]) -> list[bytes]:
        while True:
            self._heed()
            with contextlib.suppress(TimeoutError):
                return drawn.result(LOOK)

    def _heed(self) -> None:
        if self._stopped:
            raise KeyboardInterrupt


def _samples(picture: Picture, pngs: list[bytes]) -> Iterator[Sample]:
    model = picture.model
    same = {"model": model.ref, "digest": model.digest, "truncation": picture.truncation}
    for seed, data in zip(picture.seeds, pngs, strict=True):
        yield Sample(seed_name(seed), data, same | {"seed": seed})
