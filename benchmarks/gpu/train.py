"""(e) Training: the textbook's step and ours with what a GPU offers; two processes; kill and resume."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.gpu.setup import ROOT, Row, Setup, attempt

if TYPE_CHECKING:  # torch takes seconds to import, and may not be there
    import torch

    from benchmarks.training import Implementation
    from training.device import Device

    Change = Callable[[Implementation, torch.device], "Step"]

Step = Callable[[], object]  # of training
DIGITS = ROOT / "tests" / "data" / "digits-images-idx3-ubyte.gz"
TINY = ("--set", "generator.width=8", "--set", "critic.width=8", "--set", "batch=16")


def measure(setup: Setup) -> Iterator[Row]:
    """Yield images/s of each kind of step, and whether processes and resuming work."""
    yield from _steps(setup)
    yield attempt({"what": "two processes (NCCL)"}, lambda: _two_processes(setup))
    yield attempt({"what": "kill and resume"}, lambda: _kill_and_resume(setup))


def _steps(setup: Setup) -> Iterator[Row]:
    from benchmarks import textbook
    from training import device as devices

    if setup.tiny:
        textbook.WIDTH, textbook.BATCH = 8, 8  # read by both when they are built, in this process alone
    device = devices.choose(setup.device)
    names = ["dcgan"] if setup.tiny else ["dcgan", "wgan-gp"]
    seconds = setup.seconds / 2 / (len(names) * len(VARIANTS))
    for name in names:
        for what, (player, change) in VARIANTS.items():
            row = {"what": what, "objective": name}
            yield attempt(row, partial(_speed, name, player, change, device, seconds))


def _speed(name: str, player: str, change: "Change", device: "Device", seconds: float) -> Row:
    """Return the images/s of one player's step, changed."""
    import torch

    from benchmarks import training

    made = training.implementations(name, device)[player]
    step = change(made, device.torch)
    for _ in range(2):  # kernels are chosen and compiled
        step()
    synchronise = torch.cuda.synchronize if device.torch.type == "cuda" else _nothing
    return {"images_per_second": round(_rate(step, made.images, seconds, synchronise), 1)}


def _nothing() -> None:
    return


def _rate(step: Step, images: int, seconds: float, synchronise: Callable[[], None]) -> float:
    synchronise()
    steps, started = 0, time.perf_counter()
    while not steps or time.perf_counter() - started < seconds:
        step()
        steps += 1
        if steps % 10 == 0:
            synchronise()
    synchronise()
    return steps * images / (time.perf_counter() - started)


def _unchanged(player: "Implementation", device: "torch.device") -> Step:
    return player.step


def _channels_last(player: "Implementation", device: "torch.device") -> Step:
    import torch

    for network in player.networks:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack it
    return player.step


def _compiled(player: "Implementation", device: "torch.device") -> Step:
    for network in player.networks:
        network.compile(backend="aot_eager" if device.type == "cpu" else "inductor")  # the first needs no C++ compiler
    return player.step


def _in_bfloat16(player: "Implementation", device: "torch.device") -> Step:
    import torch

    def run() -> object:
        with torch.autocast(device.type, torch.bfloat16):
            return player.step()

    return run


def _as_graph(player: "Implementation", device: "torch.device") -> Step:
    import torch

    if device.type != "cuda":
        raise RuntimeError("a CUDA graph needs a CUDA GPU")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            player.step()
    torch.cuda.current_stream().wait_stream(side)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        player.step()
    return graph.replay


def _with_copy(player: "Implementation", device: "torch.device") -> Step:
    """Return the step with the copy of its images to the device before it, as where data is not resident."""
    import torch

    from benchmarks import textbook

    host = torch.zeros((player.images, 3, textbook.SIZE, textbook.SIZE), dtype=torch.uint8)
    host = host.pin_memory() if device.type == "cuda" else host

    def run() -> object:
        host.to(device, non_blocking=True).float().div_(127.5).sub_(1)
        return player.step()

    return run


# What is measured: the player, and how its step is changed.
VARIANTS: dict[str, tuple[str, "Change"]] = {
    "textbook": ("textbook", _unchanged),
    "textbook, channels_last": ("textbook", _channels_last),
    "textbook, bfloat16": ("textbook", _in_bfloat16),
    "textbook, torch.compile": ("textbook", _compiled),
    "textbook, CUDA graph": ("textbook", _as_graph),
    "ours": ("ours", _unchanged),
    "ours in float32": ("ours in float32", _unchanged),
    "ours, torch.compile": ("ours", _compiled),
    "ours, data from the host": ("ours", _with_copy),
}


def command(setup: Setup, *options: str) -> list[str]:
    """Return the command that trains on the digits of the tests."""
    tiny = TINY if setup.tiny else ()
    return ["-m", "training", "train", "--data", str(DIGITS), "--device", setup.device, *tiny, *options]


def _two_processes(setup: Setup) -> Row:
    import torch

    if torch.cuda.device_count() < 2:
        raise RuntimeError(f"needs two CUDA GPUs, and there are {torch.cuda.device_count()}")
    out = str(setup.work / "two")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    started = time.perf_counter()
    _run([*torchrun, *command(setup, "--kimg", "100", "--out", out)])
    return {"seconds_for_100_kimg": round(time.perf_counter() - started, 1)}


def _kill_and_resume(setup: Setup) -> Row:
    """Kill a run with SIGKILL once it has saved, resume it, and find that it went on."""
    out = setup.work / "killed"
    kimg = "0.5" if setup.tiny else "200"
    begin = command(setup, "--kimg", kimg, "--out", str(out), "--set", "snapshot_kimg=0.05")
    killed = subprocess.Popen([sys.executable, *begin], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + max(30.0, setup.seconds / 2)
    while not list(out.glob("*/checkpoint-latest.pt")) and killed.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    ended_by_itself = killed.poll() is not None
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    runs = list(out.glob("*/checkpoint-latest.pt"))
    if not runs:
        raise RuntimeError("the run saved no checkpoint in its time")
    run = runs[0].parent
    _run([sys.executable, "-m", "training", "train", "--resume", str(run.resolve())])
    last = max(int(path.stem.rpartition("-")[2]) for path in run.glob("generator-*.pt"))
    return {"resumed_to_images": last, "killed_while_it_ran": not ended_by_itself}


def _run(arguments: list[str]) -> None:
    done = subprocess.run(arguments, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])


def trim(run: Path) -> None:
    """Delete what a run folder can do without when it is carried home: checkpoints and all generators but the last."""
    for path in [*run.glob("checkpoint-*.pt"), *sorted(run.glob("generator-*.pt"))[:-1]]:
        path.unlink()
