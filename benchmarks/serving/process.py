"""What a server's workers hold, and the machine that they run on; read from Linux's /proc."""

import os
import platform
import re
from datetime import UTC, datetime
from pathlib import Path

import onnxruntime

from tests.e2e.server import Server

WORKERS = ("multiprocessing.spawn", "_bentoml_impl.worker.service")  # in the command lines of uvicorn's and BentoML's
TICK = os.sysconf("SC_CLK_TCK")


def workers(*servers: Server) -> list[Path]:
    """Return the folder in /proc of each worker of these servers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int(_stat(folder)[1])
            command = (folder / "cmdline").read_text()
            if parent in {server.process.pid for server in servers} and any(name in command for name in WORKERS):
                found.append(folder)
        except OSError:  # it has ended
            continue
    return found


def cpu_seconds(worker: Path) -> float:
    """Return the CPU time that a worker has used."""
    return (int(_stat(worker)[11]) + int(_stat(worker)[12])) / TICK


def size(worker: Path) -> tuple[int, float]:
    """Return a worker's threads, and its memory (proportional set size, MiB)."""
    pss = re.search(r"^Pss:\s*(\d+)", (worker / "smaps_rollup").read_text(), re.MULTILINE)
    return int(_stat(worker)[17]), int(pss[1]) / 1024 if pss else 0.0


def _stat(folder: Path) -> list[str]:
    """Return the fields of proc_pid_stat(5) from its third on, the state."""
    return (folder / "stat").read_text().rpartition(")")[2].split()


def machine() -> str:
    """Return where and when this runs, in one line."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    cores = len(os.sched_getaffinity(0))
    versions = f"Python {platform.python_version()}, ONNX Runtime {onnxruntime.__version__}"
    many = "cores" if cores > 1 else "core"
    return f"{cores} {many} of {cpu[1] if cpu else platform.machine()}, {versions}, {datetime.now(UTC).date()}"
