"""``python -m benchmarks.serving``: the service over HTTP beside its parts without, in turns on one machine."""

import contextlib
import functools
import gc
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console
from rich.progress import track

from benchmarks.serving import bare, bulk, models, process, wrk
from benchmarks.serving.report import Report
from benchmarks.serving.speed import Speed
from benchmarks.serving.targets import BARE, EMPTY, ONE, Measured, Name
from service import cpus
from service.engine.library import Library, load_library
from service.engine.renderer import Renderer
from service.settings import read_settings
from tests.e2e.server import BENTOML, Server, serving

SETTINGS = read_settings()
CONNECTIONS = (1, 8, 32, 128)
N = 16  # images in one request, where there are several
FORMS = {"zip": "application/zip", "JSON": "application/json"}
EMPTIES = {
    EMPTY: [*BENTOML, "serve", "benchmarks.serving.empty:Mounted"],
    f"{EMPTY}, hot": [sys.executable, "-m", "benchmarks.serving.empty"],
}
Measure = Callable[[float], Speed]  # for so many seconds


def main(
    model: Annotated[list[Path] | None, typer.Option(help="A model's folder, such as models/digits/1.")] = None,
    size: Annotated[list[int] | None, typer.Option(help="Of a DCGAN of width 64: 32, 64 or 128.")] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Of one measurement in one turn.")] = 5.0,
    turns: Annotated[int, typer.Option(min=1)] = 3,
    beside: Annotated[
        Path | None, typer.Option(help="Another checkout, whose server is measured in the same turns.")
    ] = None,
    docs: Annotated[Path | None, typer.Option(help="Folder of performance.md, to fill in.")] = None,
) -> None:
    """Measure, by default the three sizes and the shipped digits, and print a table and JSON."""
    if shutil.which("wrk") is None:
        sys.exit("error: wrk is not installed; on Debian: apt-get install wrk")
    if not model and not size:
        model, size = [Path("models/digits/1")], [32, 64, 128]
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as servers:
        folder = Path(temporary)
        library = _library(folder / "models", model or [], size or [])
        started = {how: servers.enter_context(one) for how, one in _servers(folder, beside).items()}
        empties = {what: servers.enter_context(_empty(folder, command)) for what, command in EMPTIES.items()}
        workers = process.workers(*started.values(), *empties.values())
        drawer = bulk.renderer(SETTINGS, folder / "models")
        measures = dict(_measures(library, started, empties, drawer))
        measured = _in_turns(measures, workers, seconds, turns)
        report = Report(process.machine(), measured, [process.size(worker) for worker in process.workers(started[""])])
    report.show(Console())
    print(report.json())
    if docs:
        report.write(docs)


def _library(folder: Path, given: list[Path], sizes: list[int]) -> Library:
    for path in given:
        shutil.copytree(path, folder / path.resolve().parent.name / path.resolve().name)
    for size in sizes:
        models.build(folder, size)
    return load_library(folder, "cpu")


def _servers(folder: Path, beside: Path | None) -> dict[str, contextlib.AbstractContextManager[Server]]:
    """Return the servers to measure: the default, other numbers of workers, another checkout."""
    default, start = SETTINGS.workers, functools.partial(serving, models=folder / "models")
    servers = {"": start(folder / "log", workers=default)}
    for workers in sorted({1, cpus.available()} - {default}):
        servers[f", workers={workers}"] = start(folder / f"{workers}.log", workers=workers)
    if beside:
        servers[f", {beside.resolve().name}"] = start(folder / "beside.log", workers=default, cwd=beside)
    return servers


def _empty(folder: Path, command: list[str]) -> contextlib.AbstractContextManager[Server]:
    return serving(folder / f"{command[-1]}.log", command=command, workers=SETTINGS.workers)


def _measures(
    library: Library, servers: dict[str, Server], empties: dict[str, Server], drawer: Renderer
) -> Iterator[tuple[Name, Measure]]:
    for what, empty in empties.items():
        for connections in CONNECTIONS:
            yield (what, _plural(connections)), functools.partial(wrk.draw, empty.url, connections, model="none")
    for model in library:
        name = model.ref
        yield (name, ONE), functools.partial(bare.loop, model, 1, 1)
        yield (name, BARE), functools.partial(bare.loop, model, cpus.available(), SETTINGS.max_batch)
        for out in bulk.OUTS:
            measure = functools.partial(bulk.draw, drawer, model, SETTINGS.max_batch, out)
            yield (name, f"generate --seeds, {out}"), measure
        for how, server in servers.items():
            draw = functools.partial(wrk.draw, server.url, model=name)
            for connections in CONNECTIONS:
                yield (name, f"{_plural(connections)}{how}"), functools.partial(draw, connections)
            for form, accept in FORMS.items():
                yield (name, f"n = {N} as {form}{how}"), functools.partial(draw, 8, n=N, accept=accept)
    url = f"{servers[''].url}/images/{library.find(None).ref}/1.png"
    etag = httpx.get(url).raise_for_status().headers["etag"]
    yield ("cached GET (304)", _plural(32)), functools.partial(wrk.revalidate, url, 32, etag=etag)


def _plural(connections: int) -> str:
    return f"{connections} connection{'s' if connections > 1 else ''}"


def _in_turns(measures: dict[Name, Measure], workers: list[Path], seconds: float, turns: int) -> Measured:
    measured: Measured = {name: [] for name in measures}
    for measure in measures.values():
        measure(1.0)  # memory grows and caches fill before anything counts
    gc.collect()
    gc.freeze()  # as the service does
    for name, measure in track([*measures.items()] * turns, "Measuring …", console=Console(stderr=True)):
        measured[name].append(_with_cost(measure, workers, seconds))
    return measured


def _with_cost(measure: Measure, workers: list[Path], seconds: float) -> Speed:
    """Measure, and note the CPU time; where others use the machine, too, it says more than the rate."""

    def spent() -> float:
        return time.process_time() + sum(map(process.cpu_seconds, workers))

    started, before = time.perf_counter(), spent()
    speed = measure(seconds)
    images = speed.rate * (time.perf_counter() - started)
    return speed._replace(cpu=1000 * (spent() - before) / images)


if __name__ == "__main__":
    typer.run(main)
