"""``python -m load_tests.chaos``: random faults under load, during which no client may get a wrong image."""

import argparse
import re
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx

from benchmarks.serving import process
from load_tests.clients import Clients, Failure, Record
from load_tests.faults import FAULTS, Chaos, poison
from load_tests.sizes import Sizes, measure
from tests.e2e.server import ADMIN, ROOT, SERVE, WAYS, Server, serving, wait_for_workers

CLIENTS = 16
PAUSE = (0.5, 3.0)  # seconds between the beginnings of two faults; each runs on while the next begins
POISON = 20.0  # seconds between two hostile models
REFUSALS = {408, 503, 504}
MORE = {"threads": 2, "files": 4}  # that there may be at the end
RECOVERY = 60  # seconds
UNFILLED = 60  # seconds: BentoML's supervisor looks for dead workers every ten, and a start takes long on busy cores
# The line that begins a traceback and the one before it, its frames, and the line that names the error.
TRACEBACK = re.compile(r"(?:.*\n)?.*Traceback \(most recent call last\):\n(?:[ |+].*\n|\n)*(?P<error>.*)")


def main() -> int:
    """Run the faults and print their effects; the exit code is 1 if an expectation fails."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of what is random")
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--way", choices=WAYS, default="python -m service", help="to start the server")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        models = Path(shutil.copytree(asked.models, Path(folder) / "models"))
        with serving(log, models=models, workers=asked.workers, command=WAYS[asked.way]) as server:
            chaos = Chaos(server, asked.seed, models, reloads_at_hup=WAYS[asked.way] == SERVE)
            complaints = run(chaos, 60 * asked.minutes, asked.seed, asked.workers)
            complaints += [f"the log has a traceback:\n{found}" for found in tracebacks(server.said())]
    print("\n".join(f"FAILED: {complaint}" for complaint in complaints) or "passed")
    return int(bool(complaints))


def run(chaos: Chaos, seconds: float, seed: int, workers: int) -> list[str]:
    """Run clients and faults for so long; returns a sentence for each failed expectation."""
    server, clients = chaos.server, Clients(chaos.server.url, CLIENTS, seed=seed)
    clients.learn()
    _settle(server, workers)
    before = measure(server)
    with clients:
        happened = _happen(chaos, time.monotonic() + seconds)
        recovered = _ready(server, workers)
    print(_table(clients.record, chaos, happened, seconds))
    return [
        *judge(clients.record, chaos.lost, chaos.kills, empty=0 if chaos.reloads_at_hup else UNFILLED),
        *_flooded(chaos.flooded),
        *_served(server, chaos.dropped),
        *recovered,
        *_grown(server, before),
    ]


def _settle(server: Server, workers: int) -> None:
    """Wait until each worker has loaded its models, and has the threads that its first text of metrics and its first
    reload start, one each: they stay, and would else count as grown at the end."""
    wait_for_workers(server, workers, "/metrics")
    wait_for_workers(server, workers, "/admin/reload", method="POST", headers=ADMIN)


def judge(record: Record, flooded: Sequence[Failure], kills: Sequence[float], empty: float = 0) -> list[str]:
    """Return a sentence for each wrong image, unexpected status, and request lost without a killed worker.

    ``empty``: seconds for which the place of a killed worker may be empty, with nobody to answer.
    """
    found = [f"a wrong picture: {wrong}" for wrong in sorted(set(record.wrong))]
    if odd := {status: n for status, n in record.statuses.items() if status not in REFUSALS | {200}}:
        found.append(f"answers that are neither pictures nor refusals: {odd}")
    if lost := [failure for failure in (*record.failures, *flooded) if not _was_killed(failure, kills, empty)]:
        found.append(f"{len(lost)} requests got no answer and no worker of theirs was killed: {lost[0]}")
    if len(record.failures) > len(kills) * CLIENTS:
        found.append(f"{len(record.failures)} requests got no answer, though only {len(kills)} workers were killed")
    if not record.statuses[200]:
        found.append("nobody got a picture")
    return found


def _was_killed(failure: Failure, kills: Sequence[float], empty: float) -> bool:
    return any(failure.lived - empty <= kill <= failure.ended for kill in kills)


def _happen(chaos: Chaos, end: float) -> Counter[str]:
    """Start one fault after the other, and wait for the last; returns how often each happened."""
    happened: Counter[str] = Counter()
    threads = []
    next_poison = time.monotonic()
    while time.monotonic() < end:
        if time.monotonic() >= next_poison:
            threads.append(threading.Thread(target=poison, args=(chaos,)))
            threads[-1].start()
            next_poison += POISON
        fault = FAULTS[happened.total()] if happened.total() < len(FAULTS) else chaos.chance.choice(FAULTS)
        happened[fault.__name__] += 1
        threads.append(threading.Thread(target=fault, args=(chaos,)))
        threads[-1].start()
        time.sleep(chaos.chance.uniform(*PAUSE))
    for thread in threads:
        thread.join()
    return happened


def tracebacks(log: str) -> list[str]:
    """Return the tracebacks in a log, each kind once: those that end in the same line are of a kind."""
    kinds: dict[str, str] = {}
    for found in TRACEBACK.finditer(log):
        kinds.setdefault(found["error"], found[0].strip())
    return [*kinds.values()]


def _ready(server: Server, workers: int) -> list[str]:
    """Wait until the server is ready again, with as many workers as before."""
    end = time.monotonic() + RECOVERY
    while time.monotonic() < end:
        there = len(process.workers(server))
        if there == workers and httpx.get(f"{server.url}/readyz", timeout=RECOVERY).status_code == 200:
            return []
        time.sleep(0.2)
    return [f"{there} of {workers} workers are there, or not ready, after {RECOVERY} s"]


def _grown(server: Server, before: Sizes) -> list[str]:
    """Wait until the server holds no more than before; says what it holds if it does not come to that."""
    end = time.monotonic() + RECOVERY
    more = {"": 0.0}
    while more and time.monotonic() < end:
        now = measure(server)
        more = {
            name: getattr(now, name) for name, by in MORE.items() if getattr(now, name) > getattr(before, name) + by
        }
        time.sleep(1)
    return [f"{now:g} {name} at the end, {getattr(before, name):g} at the beginning" for name, now in more.items()]


def _served(server: Server, dropped: Sequence[str]) -> list[str]:
    """Wait until the log has refused every hostile model that was dropped; says which it has not."""
    end = time.monotonic() + RECOVERY
    while (left := [name for name in dropped if f"/{name}/1" not in server.said()]) and time.monotonic() < end:
        time.sleep(1)
    return [f"hostile models were not refused: {', '.join(left)}"] if left else []


def _flooded(statuses: Counter[str]) -> list[str]:
    odd = {status for status in statuses if status and int(status[9:]) not in REFUSALS | {200}}
    return [f"a flood was answered {', '.join(sorted(odd))}"] if odd else []


def _table(record: Record, chaos: Chaos, happened: Counter[str], seconds: float) -> str:
    statuses = sorted((str(status), count) for status, count in record.statuses.items())
    flooded = sorted((status[9:] or "none", count) for status, count in chaos.flooded.items())
    rows = [
        ("minutes", f"{seconds / 60:g}"),
        *((f"fault: {name}", f"{count}") for name, count in sorted(happened.items())),
        *((f"answered {status}", f"{count:,}") for status, count in statuses),
        ("hostile models dropped", f"{len(chaos.dropped)}"),
        ("lost with their worker", f"{len(record.failures):,}"),
        ("pictures checked", f"{record.images:,}"),
        ("wrong pictures", f"{len(record.wrong):,}"),
        ("p50, p99 of pictures", f"{record.percentile(0.5):.2f} s, {record.percentile(0.99):.2f} s"),
        *((f"flood answered {status}", f"{count:,}") for status, count in flooded),
    ]
    return "\n".join(f"{name:24} {value}" for name, value in rows)


if __name__ == "__main__":
    sys.exit(main())
