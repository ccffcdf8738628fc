"""``python -m benchmarks.gpu [--minutes 8] [--out DIR] [--device cpu] [--train] [--data DIR]``.

Each part runs in a process of its own with a share of the time, and writes a line of JSON for each figure or reason as
it finds it. So a part that fails, crashes or takes too long costs itself alone.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from benchmarks.gpu import report
from benchmarks.gpu.setup import ROOT, Row, Setup, models


class Part(NamedTuple):
    """A part of the report: ``module.function`` yields its rows; ``share`` is its part of the time."""

    title: str
    function: str
    share: float


PARTS = {
    "found": Part("What is here", "found.measure", 0.02),
    "models": Part("Models to measure with", "__main__.make_models", 0.08),
    "parity": Part("(a) Pixels: the provider beside the CPU", "parity.measure", 0.14),
    "raw": Part("(b) A session alone", "raw.measure", 0.16),
    "http": Part("(c) Over HTTP", "over_http.measure", 0.22),
    "start": Part("(d) Start", "start.measure", 0.08),
    "train": Part("(e) Training", "train.measure", 0.15),
    "score": Part("(f) Minutes to the shipped models' scores", "score.minutes_to_score", 0.15),
    "best": Part("(g) The best runs that the time allows", "score.best", 0.0),
}
GRACE = 1.5  # times its share until a part is stopped: starting processes and loading libraries counts, too
LEAST, LEAST_TINY = 60.0, 300.0  # seconds that any part may take; a test's machine may be busy


def make_models(setup: Setup) -> Iterator[Row]:
    """Build the models that the other parts measure with."""
    yield from ({"model": path.name} for path in sorted(models(setup).iterdir()))


def main(
    minutes: Annotated[float, typer.Option(min=0.05, help="For all parts together.")] = 8.0,
    out: Annotated[Path, typer.Option(help="Where gpu.json, gpu.md and runs are written.")] = Path("gpu-report"),
    device: Annotated[str, typer.Option(help="cuda, or cpu: tiny models, to test the command itself.")] = "cuda",
    train: Annotated[bool, typer.Option(help="Spend half of the time on the best runs of cats, lotus, …")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder with cats, emoji, lotus, letters: folders of images.")
    ] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this part; may be repeated.")] = None,
    run: Annotated[str | None, typer.Option(hidden=True)] = None,
    seconds: Annotated[float, typer.Option(hidden=True)] = 0.0,
) -> None:
    """Measure all that only an accelerator can tell, and write gpu.json and gpu.md as it goes."""
    if device not in ("cuda", "cpu"):
        raise typer.BadParameter("choose cuda or cpu", param_hint="--device")
    out.mkdir(parents=True, exist_ok=True)
    if run:
        _child(PARTS[run], Setup(device, seconds, out, data), out / f"{run}.jsonl")
        return
    results = []
    for name in only or PARTS:
        share = PARTS[name].share * (0.5 if train else 1.0) if name != "best" else 0.5
        if name == "best" and not train:
            results.append(report.Result(name, PARTS[name].title, [], 0.0, "not asked for: --train"))
            continue
        results.append(_part(name, Setup(device, 60 * minutes * share, out, data)))
        report.write(out, device, results)
        print(f"{PARTS[name].title}: {results[-1].end}, {results[-1].seconds:.0f} s", flush=True)
    report.write(out, device, results)
    shutil.rmtree(out / "work", ignore_errors=True)
    print(f"Send back {out / 'gpu.md'} and {out / 'gpu.json'}.")


def _part(name: str, setup: Setup) -> report.Result:
    """Run a part in a process group, and end it when it takes too long."""
    lines = setup.out / f"{name}.jsonl"
    lines.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu", "--run", name, "--seconds", str(setup.seconds)]
    command += ["--out", str(setup.out.resolve()), "--device", setup.device]
    command += ["--data", str(setup.data.resolve())] if setup.data else []
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        _, errors = process.communicate(timeout=max(LEAST_TINY if setup.tiny else LEAST, GRACE * setup.seconds))
        end = "done" if process.returncode == 0 else f"failed: {_last(errors, process.returncode)}"
    except subprocess.TimeoutExpired:
        end = "stopped: it took longer than its share of the time"
    except KeyboardInterrupt:
        end = "stopped by Ctrl-C"
    finally:
        _end_group(process)
    rows = report.read_rows(lines)
    lines.unlink(missing_ok=True)
    return report.Result(name, PARTS[name].title, rows, time.perf_counter() - started, end)


def _last(errors: str, code: int) -> str:
    return (errors.strip().splitlines() or [f"exit code {code}"])[-1]


def _end_group(process: "subprocess.Popen[str]") -> None:
    """Kill what a part has left: its servers and training runs."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it has left none
        return
    process.wait()


def _child(part: Part, setup: Setup, lines: Path) -> None:
    module, _, function = part.function.rpartition(".")
    measure: Callable[[Setup], Iterator[Row]] = getattr(import_module(f"benchmarks.gpu.{module}"), function)
    with lines.open("w", buffering=1) as file:
        for row in measure(setup):
            print(json.dumps(row), file=file)


if __name__ == "__main__":
    typer.run(main)
