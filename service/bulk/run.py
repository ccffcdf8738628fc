"""Draws many images without a server, in full batches on every core; a run that was stopped can be continued.

A run is a sequence of files to write, as :mod:`service.bulk.plan` says: a PNG for one image, an archive for many. A
complete file is not written again, so that a run which was killed and continued ends with the same files.
"""

import contextlib
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from service import cpus
from service.bulk.plan import Part, Plan, Wanted
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.errors import ServiceError
from service.formats import archives
from service.formats.archives import Sample
from service.formats.c2pa import Signer, signed
from service.formats.registry import MOVING, PNG_FILES, image_formats, named

BATCHES = 4  # in a request: the thread that writes is woken less often, and each time it takes the interpreter
AHEAD = 2  # requests a core that are queued: no core idles while a file is written, and memory is bounded
POLL = 0.2  # seconds between two checks whether to stop


def draw_one(renderer: Renderer, request: RenderRequest, out: Path, signer: Signer | None = None) -> None:
    """Draw an image to a file in the format of its extension, or PNG without one; raises ServiceError."""
    formats = image_formats() | {"jpeg": named("jpeg"), "gif": named("gif", MOVING)}  # of one frame
    extension = out.suffix.removeprefix(".").lower()
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
        self._plan.make_folders()
        missing = (part for part in self._plan.parts() if not self._has(part, report))
        ahead, written = itertools.tee(missing)  # what is drawn, and, later, what is written
        with contextlib.closing(self._draw((image for part in ahead for image in part.images), report)) as samples:
            for part in written:
                archives.write(part.path, itertools.islice(samples, len(part.images)))

    def _has(self, part: Part, report: Callable[[], None]) -> bool:
        """Return whether a file is complete; raises ServiceError if it holds other images than the part."""
        self._check_stopped()
        found = archives.read(part.path)
        if found is None or (texts := found.texts()) is None:
            return False
        wanted = self._request_of(part.images[:1]).texts()
        names = [one.name for one in part.images] if part.path.suffix != ".png" else [part.path.stem]
        if found.names != names or not wanted.items() <= texts.items():
            raise ServiceError(f"{part.path} holds other images than these; name another --out, or move it away")
        self.kept += len(part.images)
        report()
        return True

    def _request_of(self, images: Sequence[Wanted]) -> RenderRequest:
        labels = [one.label for one in images if one.label is not None]
        return replace(self._request, seeds=[one.seed for one in images], labels=labels or self._request.labels)

    def _draw(self, images: Iterator[Wanted], report: Callable[[], None]) -> Generator[Sample]:
        """Yield ``images``, in their order; the following ones are drawn meanwhile."""
        waiting: deque[tuple[Sequence[Wanted], RenderRequest, Future[list[bytes]]]] = deque()
        try:
            while (some := tuple(itertools.islice(images, self._size))) or waiting:
                if some:
                    request = self._request_of(some)
                    waiting.append((some, request, self._renderer.submit(request, self._encoder, math.inf)[0]))
                if len(waiting) == AHEAD * cpus.available() or not some:
                    wanted, request, drawn = waiting.popleft()
                    pngs = self._result(drawn)
                    self.drawn += len(request)
                    report()
                    yield from _samples(wanted, request, pngs)
        finally:
            for *_, drawn in waiting:
                drawn.cancel()

    def _result(self, drawn: Future[list[bytes]]) -> list[bytes]:
        while True:
            self._check_stopped()
            with contextlib.suppress(TimeoutError):
                return drawn.result(POLL)

    def _check_stopped(self) -> None:
        if self._stopped:
            raise KeyboardInterrupt


def _samples(wanted: Sequence[Wanted], request: RenderRequest, pngs: list[bytes]) -> Iterator[Sample]:
    model = request.model
    same = {"model": model.ref, "digest": model.digest, "truncation": request.truncation}
    if amounts := request.amounts():
        same["directions"] = amounts
    for index, (one, data) in enumerate(zip(wanted, pngs, strict=True)):
        name = request.class_of(index)
        yield Sample(one.name, data, same | {"seed": one.seed} | ({} if name is None else {"class": name}))
