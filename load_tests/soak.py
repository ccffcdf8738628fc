"""``python -m load_tests.soak``: at 70% of its capacity, a server's resources must not grow."""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving.process import machine
from load_tests.clients import Clients, Record
from load_tests.sizes import Sizes, measure
from tests.e2e.server import ROOT, WAYS, Server, serving

SHARE = 0.7  # of the load that the server can bear
CLIENTS = 16
INTERVAL = 10.0  # seconds between two looks
WARM_UP = 0.1  # of the time, in which allocators and caches find their size
# How much may come on top, by the fitted line, from the end of the warm-up to the end: a part of the mean, or so much.
FLAT = {"rss": (0.02, 8.0), "threads": (0.0, 1.0), "files": (0.0, 4.0), "series": (0.0, 1.0)}


def main() -> int:
    """Load a server and print what grew; the exit code is 1 if anything did, or an answer was wrong."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--way", choices=WAYS, default="python -m service", help="to start the server")
    parser.add_argument("--out", type=Path, default=ROOT / "load_tests/reports/soak.json")
    asked = parser.parse_args()
    settings = {"models": asked.models.absolute(), "workers": asked.workers, "command": WAYS[asked.way]}
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "log", **settings) as server:
        report = soak(server, asked.minutes * 60)
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(report, indent=1))
    print(told(report), f"Written to {os.path.relpath(asked.out)}.", sep="\n")
    return int(not report["passed"])


def soak(server: Server, seconds: float) -> dict[str, Any]:
    """Measure the server's capacity, send a share of it for so long, and sample its resources."""
    capacity = _capacity(server, max(seconds / 40, 2))
    with Clients(server.url, CLIENTS, rate=SHARE * capacity) as clients:
        started = time.monotonic()
        samples = _watch(server, seconds)
        lasted, asked = time.monotonic() - started, _answered(clients.record)
    record = clients.record
    growth = {name: _growth(samples, name) for name in FLAT}
    failed = bool(record.wrong or record.failures or set(record.statuses) - {200})
    return {
        "machine": machine(), "minutes": seconds / 60, "capacity": capacity, "requests": sum(record.statuses.values()),
        "rate": asked / lasted, "images": record.images, "wrong": len(record.wrong),
        "failures": len(record.failures), "statuses": record.statuses, "p50": record.percentile(0.5),
        "p99": record.percentile(0.99), "growth": growth, "samples": [(at, asdict(sizes)) for at, sizes in samples],
        "passed": not failed and all(found["flat"] for found in growth.values()),
    }  # fmt: skip


def _capacity(server: Server, seconds: float) -> float:
    """Return the requests a second that the server answers to closed-loop clients."""
    with Clients(server.url, CLIENTS) as clients:
        time.sleep(seconds)
        return _answered(clients.record) / seconds


def _answered(record: Record) -> int:
    return sum(record.statuses.values())


def _watch(server: Server, seconds: float) -> list[tuple[float, Sizes]]:
    """Sample every few seconds; returns the times and the samples."""
    started, samples = time.monotonic(), []
    while (now := time.monotonic() - started) < seconds:
        samples.append((now, measure(server)))
        time.sleep(min(INTERVAL, seconds / 20))
    return samples


def _growth(samples: Sequence[tuple[float, Sizes]], name: str) -> dict[str, float]:
    """Fit a line to a size after the warm-up: where it starts and ends, its slope, and whether that is flat."""
    rest = samples[int(WARM_UP * len(samples)) :]
    times, sizes = np.array([at for at, _ in rest]), np.array([getattr(seen, name) for _, seen in rest])
    slope, _ = np.polyfit(times, sizes, 1)
    grown = slope * (times[-1] - times[0])
    part, least = FLAT[name]
    return {
        "first": float(sizes[0]), "last": float(sizes[-1]), "least": float(sizes.min()), "most": float(sizes.max()),
        "an_hour": float(slope * 3600), "grown": float(grown), "flat": bool(grown <= max(part * sizes.mean(), least)),
    }  # fmt: skip


def told(report: dict[str, Any]) -> str:
    """Return the report in words."""
    head = (
        f"{report['minutes']:g} minutes at {report['rate']:.0f} requests/s of {report['capacity']:.0f}:"
        f" {report['requests']:,} requests, {report['images']:,} pictures, {report['wrong']} wrong,"
        f" {report['failures']} without an answer, p50 {1000 * report['p50']:.0f} ms, p99 {1000 * report['p99']:.0f} ms"
        f"; on {report['machine']}"
    )
    rows = [_row(name, found) for name, found in report["growth"].items()]
    return "\n".join([head, *rows, "passed" if report["passed"] else "FAILED"])


def _row(name: str, found: dict[str, float]) -> str:
    return (
        f"{name:8} {found['first']:8.1f} at first, {found['last']:8.1f} at last, fitted {found['an_hour']:+.2f} an hour"
        f", {found['grown']:+.2f} over the run: {'flat' if found['flat'] else 'GROWS'}"
    )


if __name__ == "__main__":
    sys.exit(main())
