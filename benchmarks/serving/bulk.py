"""Pictures drawn to files without a server, as ``python -m service generate --seeds`` does it."""

import itertools
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.serving.speed import Speed, of_calls
from service.bulk import plan as plans
from service.bulk import run as bulk
from service.engine.model import Model
from service.engine.renderer import Renderer
from service.engine.requests import RenderRequest
from service.settings import Settings

OUTS = {"folder": "pictures", "tar": "faces-{0000}.tar"}


class OverError(Exception):
    """The time is up."""


def renderer(settings: Settings, models: Path) -> Renderer:
    """Return a renderer as the command has it: all cores, and no bound but that of who asks."""
    made = Renderer(models, settings.provider, max_batch=settings.max_batch, queue=sys.maxsize)
    made.load()
    return made


def draw(drawer: Renderer, model: Model, batch: int, out: str, seconds: float) -> Speed:
    """Draw to new files for some seconds."""
    with tempfile.TemporaryDirectory() as folder:
        plan = plans.plan("0-4294967295", Path(folder) / OUTS[out], None)
        drawing = bulk.Bulk(plan, drawer, RenderRequest(drawer.library.find(model.ref)), batch)
        reports: list[tuple[float, int]] = []  # when, and how many were drawn; from the first on, all threads are busy

        def report() -> None:
            reports.append((time.perf_counter(), drawing.drawn))
            if reports[-1][0] - reports[0][0] > seconds:
                raise OverError

        try:
            drawing.write(report)
        except OverError:
            (begun, before), (ended, after) = reports[0], reports[-1]
            took = [later - sooner for (sooner, _), (later, _) in itertools.pairwise(reports)]
            return of_calls((after - before) / (ended - begun), took)
    raise AssertionError("all the seeds there are were drawn")
