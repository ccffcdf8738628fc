"""Draws many images without a server, in full batches on every core; a run that was stopped can be continued.

A run is a sequence of files to write, each with the seeds of its images: a PNG for one seed, an archive for many. A
complete file is not written again, so that a run which was killed and continued ends with the same files.
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
from service.engine.requests import RenderRequest, seed_name
from service.errors import ServiceError
from service.formats import archives
from service.formats.archives import Sample
from service.formats.c2pa import Signer, signed
from service.formats.registry import PNG_FILES, image_formats, named

BATCHES = 4  # in a request: the thread that writes is woken less often, and each time it takes the interpreter
AHEAD = 2  # requests a core that are queued: no core idles while a file is written, and memory is bounded
SHARD = re.compile(r"\{(0+)\}")  # in a file name: the shard's number, of so many digits
SHARD_SIZE = 1000
POLL = 0.2  # seconds between two checks whether to stop


class Part(NamedTuple):
    """A file to write, and the seeds of its images."""

    path: Path
    seeds: Sequence[int]


@dataclass(frozen=True)
class Plan:
    """What to draw.

    Attributes:
        seeds: ascending, none twice.
        out: as the user wrote it.
        shard_size: images in a file, if ``out`` has a place for its number.
    """

    seeds: Sequence[range]
    out: Path
    shard_size: int = SHARD_SIZE

    def __len__(self) -> int:
        return sum(map(len, self.seeds))

    def make_folder(self) -> None:
        """Make the folder for a PNG of each seed; raises OSError."""
        if self.out.suffix not in archives.KINDS:
            self.out.mkdir(parents=True, exist_ok=True)

    def parts(self) -> Iterator[Part]:
        """Yield the files to write; there may be very many."""
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
    """Return a plan of the command line's options; raises ServiceError."""
    if out.suffix == ".png":
        raise ServiceError(f"{out} holds one image; with --seeds, name a folder, a .zip or a .tar")
    if SHARD.search(out.name):
        if out.suffix not in archives.KINDS:
            raise ServiceError(f"--out {out}: shards are .zip or .tar files, such as faces-{{000000}}.tar")
    elif shard_size is not None:
        raise ServiceError("--shard-size needs shards: write {000000} in --out as the place of their number")
    return Plan(read_seeds(seeds), out, shard_size or SHARD_SIZE)


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


def draw_one(renderer: Renderer, request: RenderRequest, out: Path, signer: Signer | None = None) -> None:
    """Draw an image to a file in the format of its extension, or PNG without one; raises ServiceError."""
    formats = image_formats()
    extension = out.suffix.removeprefix(".")
    if extension and extension not in formats:
        raise ServiceError(f"--out {out}: name a file that ends in {', '.join(f'.{one}' for one in formats)}")
    answer_format = formats[extension] if extension else named("png")
    drawn, _ = renderer.submit(request, signed(answer_format, signer), math.inf)
    try:
        out.write_bytes(drawn.result())
    except OSError as error:
        raise ServiceError(f"{out} cannot be written: {error.strerror}") from error


class Bulk:
    """Draws a plan.

    Args:
        wanted: the plan.
        renderer: draws.
        request: a request without seeds: which model, and how.
        batch: images in one inference.
        signer: signs the images, if there is one.

    Attributes:
        drawn: images that were drawn.
        kept: images that existed already.
    """

    def __init__(
        self, wanted: Plan, renderer: Renderer, request: RenderRequest, batch: int, signer: Signer | None = None
    ) -> None:
        self.drawn = self.kept = 0
        self._plan = wanted
        self._renderer = renderer
        self._request = request
        self._size = BATCHES * batch  # images in a request
        self._encoder = signed(PNG_FILES, signer)
        self._started = time.monotonic()
        self._stopped = False

    def stop(self) -> None:
        """Let ``run`` raise KeyboardInterrupt between two images; for a handler of Ctrl-C, which raises nothing itself.

        An exception raised by the handler could leave a lock held, and the drawing threads would wait forever.
        """
        self._stopped = True

    def speed(self) -> str:
        """Return the images drawn per second, as text."""
        return f"{self.drawn / (time.monotonic() - self._started):,.0f} images/s"

    def summary(self) -> str:
        """Return a sentence with what was drawn."""
        kept = f"; {self.kept:,} existed already" if self.kept else ""
        return f"{self.drawn:,} images of {self._request.model.ref} drawn to {self._plan.out} at {self.speed()}{kept}."

    def run(self, console: Console) -> None:
        """Write the files that are missing, and show the progress on a terminal.

        Raises:
            ServiceError: when a file cannot be written, or an existing one holds other images.
        """
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}"), TimeRemainingColumn())
        # Each refresh takes the interpreter from the drawing threads.
        progress = Progress(*columns, console=console, refresh_per_second=4, disable=not console.is_terminal)
        task = progress.add_task("", total=len(self._plan), speed="")

        def report() -> None:
            progress.update(task, completed=self.drawn + self.kept, speed=self.speed())

        try:
            with progress:
                self.write(report)
        except OSError as error:
            kept = "; the same command continues" if self.drawn + self.kept else ""
            raise ServiceError(f"{self._plan.out} cannot be written: {error.strerror}{kept}") from error

    def write(self, report: Callable[[], None]) -> None:
        """Write the files that are missing, calling ``report`` now and then; raises OSError, ServiceError."""
        self._plan.make_folder()
        missing = (part for part in self._plan.parts() if not self._has(part, report))
        ahead, written = itertools.tee(missing)  # what is drawn, and, later, what is written
        with contextlib.closing(self._draw((seed for part in ahead for seed in part.seeds), report)) as samples:
            for part in written:
                archives.write(part.path, itertools.islice(samples, len(part.seeds)))

    def _has(self, part: Part, report: Callable[[], None]) -> bool:
        """Return whether a file is complete; raises ServiceError if it holds other images than the part."""
        self._check_stopped()
        found = archives.read(part.path)
        if found is None or (texts := found.texts()) is None:
            return False
        wanted = replace(self._request, seeds=part.seeds[:1]).texts()
        if found.names != [seed_name(seed) for seed in part.seeds] or not wanted.items() <= texts.items():
            raise ServiceError(f"{part.path} holds other images than these; name another --out, or move it away")
        self.kept += len(part.seeds)
        report()
        return True

    def _draw(self, seeds: Iterator[int], report: Callable[[], None]) -> Generator[Sample]:
        """Yield the images of ``seeds``, in their order; the following ones are drawn meanwhile."""
        waiting: deque[tuple[RenderRequest, Future[list[bytes]]]] = deque()
        try:
            while (some := tuple(itertools.islice(seeds, self._size))) or waiting:
                if some:
                    request = replace(self._request, seeds=some)
                    waiting.append((request, self._renderer.submit(request, self._encoder, math.inf)[0]))
                if len(waiting) == AHEAD * cpus.available() or not some:
                    request, drawn = waiting.popleft()
                    pngs = self._result(drawn)
                    self.drawn += len(request)
                    report()
                    yield from _samples(request, pngs)
        finally:
            for _, drawn in waiting:
                drawn.cancel()

    def _result(self, drawn: Future[list[bytes]]) -> list[bytes]:
        while True:
            self._check_stopped()
            with contextlib.suppress(TimeoutError):
                return drawn.result(POLL)

    def _check_stopped(self) -> None:
        if self._stopped:
            raise KeyboardInterrupt


def _samples(request: RenderRequest, pngs: list[bytes]) -> Iterator[Sample]:
    model = request.model
    same = {"model": model.ref, "digest": model.digest, "truncation": request.truncation}
    for seed, data in zip(request.seeds, pngs, strict=True):
        yield Sample(seed_name(seed), data, same | {"seed": seed})
