"""A real HAProxy, Debian's, with the configuration of deploy/haproxy."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import ROOT, counted, free_port
from tests.waiting import wait_for

CONFIGURATION = ROOT / "deploy" / "haproxy" / "haproxy.cfg"


@dataclass
class Proxy:
    """A proxy that runs; its servers are called s0, s1, …"""

    url: str
    metrics_url: str
    process: subprocess.Popen[bytes]

    def count(self, metric: str, **labels: str) -> float:
        """Return the sum of a metric over those of its samples that have these labels."""
        return counted(httpx.get(self.metrics_url).text, metric, **labels)

    def is_up(self, server: int) -> bool:
        """Return whether a server gets requests."""
        return self.count("haproxy_server_status", server=f"s{server}", state="UP") == 1


@contextmanager
def proxying(folder: Path, servers: Sequence[str], **environment: str) -> Iterator[Proxy]:
    """Run a proxy before servers, given by their URLs, until the block ends; skips the test if none is installed."""
    if shutil.which("haproxy") is None:
        pytest.skip("no haproxy here")
    lines = [f"    server s{i} {url.removeprefix('http://')}" for i, url in enumerate(servers)]
    config = folder / "servers.cfg"
    config.write_text("\n".join(["backend nelumbo", *lines, ""]))
    public, private = (f"127.0.0.1:{free_port()}" for _ in range(2))
    process = subprocess.Popen(
        ["haproxy", "-db", "-f", str(CONFIGURATION), "-f", str(config)],
        env={**os.environ, "NELUMBO_BIND": public, "NELUMBO_PROXY_METRICS": private, **environment},
    )
    proxy = Proxy(f"http://{public}", f"http://{private}/metrics", process)
    try:
        wait_for(lambda: _listens(proxy), said=lambda: "HAProxy does not listen")
        yield proxy
    finally:
        process.kill()
        process.wait()


def _listens(proxy: Proxy) -> bool:
    assert proxy.process.poll() is None, "HAProxy has ended"
    try:
        return httpx.get(proxy.metrics_url).status_code == 200
    except httpx.TransportError:
        return False
