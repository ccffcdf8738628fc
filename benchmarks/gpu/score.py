"""(f) How many minutes cats and emoji take to the score of the shipped models; (g) the best that the time allows."""

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.gpu.setup import ROOT, Row, Setup, attempt
from benchmarks.gpu.train import DIGITS, TINY, trim
from service.contract import ContractError, Metric
from service.contract.graph import read_model

METRICS = ("efficientnet-lite2-kd", "random-conv-kd", "lenet-fd")  # the first that a model's card has
BEST = {  # options of training
    "cats": ["--recipe", "cats-best"],
    "lotus": ["--recipe", "lotus-best"],
    "letters": ["--recipe", "letters-best", "--classes", "folders"],
    "emoji": ["--recipe", "emoji-best"],
}
TINY_SECONDS, TINY_SAMPLES = 2.0, 32


def minutes_to_score(setup: Setup) -> Iterator[Row]:
    """Yield the score of a run every so often, until it is as good as the shipped model's or the time is up."""
    names = ["digits"] if setup.tiny else ["cats", "emoji"]
    for name in names:
        data = DIGITS if setup.tiny else _find_data(setup, name)
        if data is None:
            yield {"model": name, "reason": f"no pictures: give a folder that holds {name} with --data"}
            continue
        try:
            card = read_model(ROOT / "models" / name / "1").card
            wanted = next(one for kind in METRICS for one in card.metrics if one.name == kind)
        except (ContractError, StopIteration) as error:
            yield {"model": name, "reason": f"no shipped model with a score: {error}"}
            continue
        yield from _race(setup, name, data, wanted, setup.seconds / len(names))


def _race(setup: Setup, name: str, data: Path, wanted: Metric, seconds: float) -> Iterator[Row]:
    """Yield the scores of a run that trains meanwhile, and at last a reason if none is good enough."""
    seconds = TINY_SECONDS if setup.tiny else seconds
    options = ["--recipe", "digits", *TINY] if setup.tiny else BEST[name]
    out = setup.work / "score" / name
    process = _train(setup, data, out, seconds / 60, options)
    started, row = time.perf_counter(), {"model": name, "metric": wanted.name, "wanted": wanted.value}
    try:
        for run in _new_snapshots(out, process, math.inf if setup.tiny else started + seconds):
            minutes = {"minutes": round((time.perf_counter() - started) / 60, 2)}
            found = attempt(row | minutes, partial(_score, setup, run, data, wanted))
            yield found
            if found.get("score", math.inf) <= wanted.value:
                return
        yield row | {"reason": f"not reached in {seconds:.0f} s"}
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _new_snapshots(out: Path, process: "subprocess.Popen[bytes]", end: float) -> Iterator[Path]:
    """Yield the run folder each time that it has a new generator, until its process or the time is over."""
    seen: set[Path] = set()
    while time.perf_counter() < end:
        ended = process.poll() is not None  # looked at first, as its last act is a generator
        if new := set(out.glob("*/generator-*.pt")) - seen:
            seen |= new
            yield new.pop().parent
        elif ended:
            return
        else:
            time.sleep(0.2)


def _score(setup: Setup, run: Path, data: Path, wanted: Metric) -> Row:
    """Return a run's latest score, over as many samples as the shipped model's."""
    out = setup.work / "evaluation.json"
    samples = TINY_SAMPLES if setup.tiny else wanted.samples
    command = [sys.executable, "-m", "training", "evaluate", str(run.resolve()), "--data", str(data)]
    command += ["--metric", "distances", "--samples", str(samples), "--out", str(out.resolve())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["evaluation failed"])[-1])
    return {"score": next(one["value"] for one in json.loads(out.read_text()) if one["name"] == wanted.name)}


def best(setup: Setup) -> Iterator[Row]:
    """Train each set for its share of the time, and leave run folders without checkpoints in ``out/runs``."""
    sets = {"digits": ["--recipe", "digits", *TINY]} if setup.tiny else BEST
    for name, options in sets.items():
        data = DIGITS if setup.tiny else _find_data(setup, name)
        if data is None:
            yield {"model": name, "reason": f"no pictures: give a folder that holds {name} with --data"}
            continue
        minutes = setup.seconds * 0.9 / len(sets) / 60
        row = {"model": name, "recipe": options[1], "minutes": round(minutes, 2)}
        yield attempt(row, partial(_best, setup, name, data, options, minutes))


def _best(setup: Setup, name: str, data: Path, options: list[str], minutes: float) -> Row:
    out = setup.out / "runs" / name
    process = _train(setup, data, out, minutes, options)
    if process.wait():
        raise RuntimeError(f"training ended with exit code {process.returncode}")
    run = next(out.iterdir())
    trim(run)
    size = sum(path.stat().st_size for path in run.iterdir())
    return {"run": str(run.relative_to(setup.out)), "mib": round(size / 2**20, 1)}


def _train(setup: Setup, data: Path, out: Path, minutes: float, options: list[str]) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "training", "train", "--data", str(data.resolve()), "--device", setup.device]
    command += ["--minutes", f"{max(0.01, minutes):.3f}", "--out", str(out.resolve()), *options]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _find_data(setup: Setup, name: str) -> Path | None:
    folder = setup.data / name if setup.data else None
    return folder if folder and folder.is_dir() else None
