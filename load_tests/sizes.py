"""The resources of a server, over all its processes: memory, threads, open files and series of metrics."""

from dataclasses import astuple, dataclass

import httpx
import psutil

from tests.e2e.server import Server


@dataclass(frozen=True)
class Sizes:
    """Sums over the supervisor and its workers."""

    rss: float  # MiB
    threads: int
    files: int
    series: int


def measure(server: Server) -> Sizes:
    """Look at a server's processes, and at its metrics."""
    supervisor = psutil.Process(server.process.pid)
    found = list(filter(None, map(_of, (supervisor, *supervisor.children(recursive=True)))))
    rss, threads, files, _ = map(sum, zip(*map(astuple, found), strict=True))
    lines = httpx.get(f"{server.url}/metrics", timeout=60).text.splitlines()
    return Sizes(rss, threads, files, sum(not line.startswith("#") for line in lines))


def _of(process: psutil.Process) -> Sizes | None:
    try:
        return Sizes(process.memory_info().rss / 2**20, process.num_threads(), process.num_fds(), 0)
    except psutil.NoSuchProcess:  # it was killed meanwhile
        return None
