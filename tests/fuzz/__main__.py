"""``python -m tests.fuzz``: bad inputs to the parsers, to the check of models and to a server; odd models to draw."""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests import tiny
from tests.e2e.server import ROOT, serving
from tests.fuzz import models, served, wire
from tests.fuzz.examples import ARRAYS, BODIES, IMAGES, QUERIES, WALKS

FAULT = re.compile("Request .* failed|Exception in ASGI|never retrieved")  # BentoML logs what it refuses, too
CORPUS = [
    *(b"0" + json.dumps(body).encode() for body in BODIES),
    *(b"1" + json.dumps(body).encode() for body in WALKS),
    *(b"2\n" + accept for accept in (b"image/png", b"image/*;q=0.5, */*;q=0.1", b"text/html,application/json;q=1e-3")),
    *(b"3" + path.encode() for path in IMAGES),
    *(b"4" + key for key in (b"Bearer abc", b"Basic YTpi", b"")),
    *(b"6" + query.encode() + b"\0" * 8 for query in QUERIES),
    *(b"7" + json.dumps(body).encode() for body in ARRAYS),
    *(b"5" + bytes(range(start, start + 64)) for start in range(0, 192, 64)),
]


def main() -> int:
    """Fuzz and print what was tried; the exit code is 1 if anything failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--parsers", type=int, default=1_000_000, help="inputs to the parsers, in this process")
    parser.add_argument("--wire", type=int, default=100_000, help="inputs to a server, on connections of their own")
    parser.add_argument("--models", type=int, default=20_000, help="model files to the check, in processes of its own")
    parser.add_argument("--served", type=int, default=600, help="odd model files to a server, which draws with them")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of what is random")
    asked = parser.parse_args()
    print(f"seed {asked.seed}")
    with tempfile.TemporaryDirectory() as folder:
        failed = fuzz_parsers(Path(folder), asked.parsers, asked.seed)
        failed = fuzz_models(asked.models, asked.seed) or failed
        failed = fuzz_served(asked.served, asked.seed) or failed
        return fuzz_server(Path(folder), asked.wire, asked.seed) or failed


def fuzz_parsers(folder: Path, inputs: int, seed: int) -> int:
    """Run atheris (libFuzzer), which learns from the code that an input reaches; needs an exit code of its own."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for i, data in enumerate(CORPUS):
        (corpus / str(i)).write_bytes(data)
    limits = [f"-runs={inputs}", f"-seed={seed % 2**31}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=1024"]
    command = [sys.executable, "-m", "tests.fuzz.parsers", *limits, "-print_final_stats=1", str(corpus)]
    run = subprocess.run([*command, "-artifact_prefix=fuzz-"], cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        print(run.stdout, run.stderr)
    else:
        print(*(f"parsers: {line}" for line in run.stderr.splitlines() if line.startswith("stat::")), sep="\n")
    return run.returncode


def fuzz_models(inputs: int, seed: int) -> int:
    """Check model files at random; those that end the process that checks them are kept, and named."""
    result = models.fuzz(Path(tempfile.mkdtemp(prefix="nelumbo-fuzz-")), inputs, seed)
    print(result, *(f"FATAL: {file}" for file in result.fatal), sep="\n")
    return int(bool(result.fatal))


def fuzz_served(inputs: int, seed: int) -> int:
    """Serve odd model files; those that did harm are kept, and named."""
    folder = Path(tempfile.mkdtemp(prefix="nelumbo-served-"))
    result = served.fuzz(folder, inputs, seed)
    print(result, *(f"FAULT: {fault}" for fault in result.faults), sep="\n")
    if result.faults:
        print(f"kept in {folder}")
    else:
        shutil.rmtree(folder)
    return int(bool(result.faults))


def fuzz_server(folder: Path, inputs: int, seed: int) -> int:
    """Run a server with two small models, and send it what is no proper request."""
    tiny.write(folder / "models", tiny.card("grey"))
    tiny.write(folder / "models", tiny.card("rgb", latent_dim=16, height=24, width=20, channels=3))
    with serving(folder / "log", models=folder / "models") as server:
        result = wire.fuzz(server, inputs, seed)
        print(result)
        fault = FAULT.search(server.said())
        if fault:
            print(server.said()[fault.start() :][:10_000])
    return int(result.failed or fault is not None)


if __name__ == "__main__":
    sys.exit(main())
