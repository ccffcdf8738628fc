"""(f) How many minutes cats and emoji take to the score of the shipped models; (g) the best that the time allows."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.gpu.setup import ROOT, Row, Setup, attempt
from benchmarks.gpu.train import DIGITS, TINY, trim
from service.contract.graph import read_model

METRICS = ("efficientnet-kd", "random-conv-kd", "lenet-fd")  # the first that a model's card has
BEST = {"cats": "cats-best", "lotus": "lotus-best", "letters": "digits-best", "emoji": "emoji-best"}


def minutes_to_score(setup: Setup) -> Iterator[Row]:
    """Yield the score of a run every so often, until it is as good as the shipped model's or the time is up."""
    names = ["digits"] if setup.tiny else ["cats", "emoji"]
    seconds = max(setup.seconds / len(names), 10)  # so that at least one picture of a tiny run is scored
    for name in names:
        data = DIGITS if setup.tiny else _find_data(setup, name)
        if data is None:
            yield {"model": name, "reason": f"no pictures: give a folder that holds {name} with --data"}
            continue
        try:
            card = read_model(ROOT / "models" / name / "1").card
            metric = next(one for kind in METRICS for one in card.metrics if one.name == kind)
        except Exception as error:
            yield {"model": name, "reason": f"no shipped model with a score: {error}"}
            continue
        yield from _race(setup, name, data, metric.name, metric.value, metric.samples, seconds)


def _race(
    setup: Setup, name: str, data: Path, metric: str, wanted: float, samples: int, seconds: float
) -> Iterator[Row]:
    out = setup.work / "score" / name
    options = ["--recipe", "digits", *TINY] if setup.tiny else ["--recipe", BEST[name]]
    process = _train(setup, data, out, seconds / 60, options)
    started, samples = time.perf_counter(), 32 if setup.tiny else samples
    try:
        seen: set[Path] = set()
        while time.perf_counter() - started < seconds:
            new = set(out.glob("*/generator-*.pt")) - seen
            if not new and process.poll() is not None:
                break
            if not new:
                time.sleep(0.2)
                continue
            seen |= new
            minutes = (time.perf_counter() - started) / 60
            row = {"model": name, "metric": metric, "wanted": wanted, "minutes": round(minutes, 2)}
            found = attempt(row, partial(_score, setup, next(iter(new)).parent, data, metric, samples))
            yield found
            if found.get("score", wanted + 1) <= wanted:
                return
        yield {
            "model": name,
            "metric": metric,
            "wanted": wanted,
            "reason": f"not reached in {seconds / 60:.1f} minutes",
        }
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _score(setup: Setup, run: Path, data: Path, metric: str, samples: int) -> Row:
    out = setup.work / "evaluation.json"
    family = metric.rpartition("-")[0]
    command = [sys.executable, "-m", "training", "evaluate", str(run.resolve()), "--data", str(data)]
    command += ["--metric", family, "--samples", str(samples), "--out", str(out.resolve())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["evaluation failed"])[-1])
    return {"score": next(one["value"] for one in json.loads(out.read_text()) if one["name"] == metric)}


def best(setup: Setup) -> Iterator[Row]:
    """Train each set for its share of the time, and leave run folders without checkpoints in ``out/runs``."""
    sets = {"digits": "digits"} if setup.tiny else BEST
    for name, recipe in sets.items():
        data = DIGITS if setup.tiny else _find_data(setup, name)
        if data is None:
            yield {"model": name, "reason": f"no pictures: give a folder that holds {name} with --data"}
            continue
        minutes = setup.seconds * 0.9 / len(sets) / 60
        row = {"model": name, "recipe": recipe, "minutes": round(minutes, 2)}
        yield attempt(row, partial(_best, setup, name, data, recipe, minutes))


def _best(setup: Setup, name: str, data: Path, recipe: str, minutes: float) -> Row:
    out = setup.out / "runs" / name
    process = _train(setup, data, out, minutes, ["--recipe", recipe, *(TINY if setup.tiny else ())])
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
