"""Pictures drawn to files without a server, as ``python -m service generate --seeds`` does it."""

import itertools
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.serving.speed import Speed, of_calls
from service import bulk
from service.library import Model
from service.pictures import Picture
from service.renderer import Renderer
from service.settings import Settings

OUTS = {"folder": "pictures", "tar": "faces-{0000}.tar"}


class OverError(Exception):
    """The time is up."""


def renderer(settings: Settings, models: Path) -> Renderer:
    """Return a renderer as the command has it: all cores, and no bound but that of who asks."""
    made = Renderer(settings.model_copy(update={"models": models, "workers": 1, "queue": sys.maxsize}))
    made.load()
    return made


def draw(drawer: Renderer, model: Model, batch: int, out: str, seconds: float) -> Speed:
    """Draw to new files for some seconds."""
    with tempfile.TemporaryDirectory() as folder:
        plan = bulk.plan("0-4294967295", Path(folder) / OUTS[out], None)
        drawing = bulk.Bulk(plan, drawer, Picture(drawer.library.find(model.ref)), batch)
        times = [time.perf_counter()]

        def report() -> None:
            times.append(time.perf_counter())
            if times[-1] - times[0] > seconds:
                raise OverError

        try:
            drawing.write(report)
        except OverError:
            took = [after - before for before, after in itertools.pairwise(times)]
            return of_calls(drawing.drawn / (times[-1] - times[0]), took)
    raise AssertionError("all the seeds there are were drawn")
