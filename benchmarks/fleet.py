"""``python -m benchmarks.fleet``: several servers behind a proxy, and a shard of a million seeds, on one machine.

1, 2 and 4 servers of one worker each stand behind deploy/haproxy/haproxy.cfg, with wrk before them, all on the same
cores. So the rate cannot grow with the servers, unless each has a share of a core that it cannot exceed
(``--cores 0.05``), as a small machine would have. What can be seen in both cases is what the proxy costs, in processor
time, how evenly it spreads the requests, and whether anything else than the cores limits the servers.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median as middle
from typing import Annotated, NamedTuple

import typer

from benchmarks import cpu_share
from benchmarks.serving import process, wrk
from benchmarks.serving.speed import Speed, median
from service.bulk import plan
from tests.e2e.proxy import Proxy, proxying
from tests.e2e.server import SERVE, Server, serving

COUNTS = (1, 2, 4)
UNLIMITED = "1000000000"  # requests of one address
MILLION = 1_000_000
HEADER = ("servers", "images/s", "median, ms", "99th", "CPU ms, servers", "CPU ms, proxy", "least and most a server")
CACHED = "one image, from the proxy's cache"
Draw = Callable[[str], Speed]  # asks the server or proxy at a URL


class Setup(NamedTuple):
    """Servers, perhaps behind a proxy."""

    servers: list[Server]
    proxy: Proxy | None = None


class Measured(NamedTuple):
    """One measurement: the speed that wrk saw, and what each image cost."""

    speed: Speed
    servers: float  # milliseconds of processor time an image, of all servers
    proxy: float
    shares: tuple[float, ...]  # of the answers, by server: 1 is an equal share; empty where none was asked


class Bulk(NamedTuple):
    """One shard of many seeds, drawn by the command."""

    images: int
    seconds: float
    cpu: float  # seconds of processor time


def main(
    model: Annotated[Path, typer.Option(help="Its folder.")] = Path("models/digits/1"),
    seconds: Annotated[float, typer.Option(min=1, help="Of one measurement in one turn.")] = 5.0,
    turns: Annotated[int, typer.Option(min=1)] = 3,
    connections: Annotated[int, typer.Option(min=1)] = 32,
    cores: Annotated[float | None, typer.Option(min=0.01, help="Most that a server may use; needs root.")] = None,
    shards: Annotated[int, typer.Option(min=0, help="Of a million seeds; one of them is drawn. 0: none.")] = 16,
) -> None:
    """Measure, and print what was measured and what is computed from it."""
    if missing := [name for name in ("haproxy", "wrk") if shutil.which(name) is None]:
        sys.exit(f"error: {' and '.join(missing)} not installed; on Debian: apt-get install {' '.join(missing)}")
    print(process.machine())
    name = f"{model.resolve().parent.name}@{model.resolve().name}"
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        shutil.copytree(model, models / name.replace("@", "/"))
        draw = functools.partial(wrk.draw, connections=connections, seconds=seconds, model=name)
        print("\n".join(table(serve(Path(folder), models, name, draw, turns, cores))))
        if shards:
            print(sentence(name, shards, draw_shard(models, Path(folder), MILLION, shards)))


def serve(
    folder: Path, models: Path, name: str, draw: Draw, turns: int, cores: float | None = None
) -> dict[str, list[Measured]]:
    """Measure in turns one server without the proxy, 1, 2 and 4 behind it, and its cache."""
    with ExitStack() as stack:
        servers = []
        for i in range(max(COUNTS)):
            servers.append(stack.enter_context(serving(folder / f"{i}.log", models=models, workers=1)))
        for server in servers if cores else ():
            workers = [int(worker.name) for worker in process.workers(server)]
            stack.enter_context(cpu_share.limited(workers, cores or 1))
        measures = {"1, without the proxy": functools.partial(measure, Setup(servers[:1]), draw)}
        for count in COUNTS:
            (config := folder / str(count)).mkdir()
            urls = [server.url for server in servers[:count]]
            proxy = stack.enter_context(proxying(config, urls, NELUMBO_REQUESTS_IN_10_S=UNLIMITED))
            measures[str(count)] = functools.partial(measure, Setup(servers[:count], proxy), draw)

        def same(url: str) -> Speed:
            return wrk.revalidate(f"{url}/images/{name}/42.png", 32, 2, etag='"another"')

        measures[CACHED] = functools.partial(measure, Setup(servers, proxy), same)
        for one in measures.values():
            one()  # memory grows before anything counts
        return _in_turns(measures, turns)


def measure(setup: Setup, draw: Draw) -> Measured:
    """Measure, and take from the kernel what processor time the servers and the proxy took."""
    servers, proxy = setup
    groups = (process.workers(*servers), [Path(f"/proc/{proxy.process.pid}")] if proxy else [])

    def spent() -> list[float]:
        return [sum(map(_cpu_seconds, group)) for group in groups]

    started, before, answered = time.perf_counter(), spent(), _answered(setup)
    speed = draw(proxy.url if proxy else servers[0].url)
    images = speed.rate * (time.perf_counter() - started)
    cost = (1000 * (after - was) / images for after, was in zip(spent(), before, strict=True))
    more = [now - was for now, was in zip(_answered(setup), answered, strict=True)]
    return Measured(speed, *cost, tuple(len(more) * one / sum(more) for one in more) if any(more) else ())


def _cpu_seconds(folder: Path) -> float:
    """Return the processor time of a process, by its folder in /proc, to the nanosecond: a proxy takes little."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in (folder / "task").iterdir()) / 1e9


def _answered(setup: Setup) -> list[float]:
    """Return how many answers the proxy got from each of its servers."""
    if setup.proxy is None:
        return []
    metric = "haproxy_server_http_responses_total"
    return [setup.proxy.count(metric, server=f"s{i}", code="2xx") for i, _ in enumerate(setup.servers)]


def _in_turns(measures: dict[str, Callable[[], Measured]], turns: int) -> dict[str, list[Measured]]:
    measured: dict[str, list[Measured]] = {what: [] for what in measures}
    for _ in range(turns):
        for what, one in measures.items():
            measured[what].append(one())
    return measured


def table(measured: dict[str, list[Measured]]) -> Iterator[str]:
    """Yield the lines of a table, in Markdown: medians over the turns, and the extremes of the shares."""
    for line in (HEADER, ["---"] * len(HEADER)):
        yield "| " + " | ".join(line) + " |"
    for what, runs in measured.items():
        speed = median([run.speed for run in runs])
        costs = [middle(run.servers for run in runs), middle(run.proxy for run in runs)]
        shares = [share for run in runs for share in run.shares]
        figures = [f"{speed.rate:,.0f}", f"{speed.p50:.1f}", f"{speed.p99:.1f}", *(f"{cost:.3f}" for cost in costs)]
        yield "| " + " | ".join([what, *figures, f"{min(shares):.2f} to {max(shares):.2f}" if shares else ""]) + " |"


def draw_shard(models: Path, folder: Path, seeds: int, shards: int) -> Bulk:
    """Draw the first shard of so many seeds into tars with the command, in a process of its own."""
    out, some = folder / "faces-{0000}.tar", f"0-{seeds - 1}"
    asked = ["--seeds", some, "--shard", f"1/{shards}", "--out", str(out), "--models", str(models)]
    started = time.perf_counter()
    with subprocess.Popen([*SERVE, "generate", *asked], stdout=subprocess.DEVNULL) as command:
        _, status, used = os.wait4(command.pid, 0)
        command.returncode = os.waitstatus_to_exitcode(status)
    took = time.perf_counter() - started
    if command.returncode:
        raise RuntimeError(f"generate ended with exit code {command.returncode}")
    return Bulk(len(plan.plan(some, out, None).shard(1, shards)), took, used.ru_utime + used.ru_stime)


def sentence(name: str, shards: int, drawn: Bulk) -> str:
    """Return what was measured of a shard, and what is computed for all of them."""
    minutes = drawn.seconds * MILLION / drawn.images / 60
    return (
        f"Measured: shard 1/{shards} of a million seeds of {name}, {drawn.images:,} images into tars, took "
        f"{drawn.seconds:.1f} s from start to end, {drawn.images / drawn.seconds:,.0f} images/s, and "
        f"{1000 * drawn.cpu / drawn.images:.2f} ms of processor time an image.\n"
        f"Computed: a million takes {minutes:.1f} minutes here, and {drawn.seconds:.0f} s on {shards} such machines."
    )


if __name__ == "__main__":
    typer.run(main)
