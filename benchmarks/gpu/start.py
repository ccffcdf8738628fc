"""(d) What a start takes: opening a session, each bucket's first run, TensorRT's engines built and found again."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.gpu.setup import ROOT, Row, Setup, attempt, available, models
from service.contract.graph import read_model


def measure(setup: Setup) -> Iterator[Row]:
    """Yield a cold and a second start of each provider, each in a process of its own."""
    started, missing = available(setup)
    yield from missing
    folder = models(setup)
    name = "dcgan64" if (folder / "dcgan64").exists() else "digits"
    for provider in started:
        cache = setup.work / f"cache-{provider}"
        for state in ("cold", "cached"):
            row = {"model": name, "provider": provider, "start": state}
            yield attempt(row, lambda p=provider, c=cache: _in_a_process(p, folder / name / "1", setup.batches, c))


def _in_a_process(provider: str, model: Path, batches: list[int], cache: Path) -> Row:
    command = [sys.executable, "-m", "benchmarks.gpu.start", provider, str(model.resolve()), *map(str, batches)]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache.resolve())}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it was killed"])[-1])
    found: Row = json.loads(done.stdout.splitlines()[-1])
    return found


def start(provider: str, folder: Path, batches: list[int]) -> Row:
    """Open a model and run each batch once; returns seconds."""
    began = time.perf_counter()
    from service.engine.providers import registry as providers
    from service.engine.rows import neutral, to_feeds

    file = read_model(folder)
    session = providers.open_session(file.data, provider, max_batch=batches[-1])
    seconds = {"open": time.perf_counter() - began}
    shape = file.card.height, file.card.width, file.card.channels
    for batch in batches:
        before = time.perf_counter()
        feeds = to_feeds(file.card, neutral(file.card, np.zeros((batch, file.card.latent_dim), np.float32)))
        providers.find(provider).run(session, feeds, shape)
        seconds[f"first run of {batch}"] = time.perf_counter() - before
    return {name: round(value, 3) for name, value in seconds.items()} | {"whole": round(time.perf_counter() - began, 3)}


if __name__ == "__main__":
    print(json.dumps(start(sys.argv[1], Path(sys.argv[2]), [*map(int, sys.argv[3:])])))
