"""What the parts share: where they measure, with which models and providers."""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.contract import MODEL_FILE
from service.contract.graph import ModelFile, read_model
from service.engine.providers import registry as providers
from service.errors import ServiceError
from service.precision import Precision

ROOT = Path(__file__).parents[2]
Row = dict[str, Any]  # one line of a table; "reason" says why there is no figure


@dataclass(frozen=True)
class Setup:
    """One run of one part.

    Attributes:
        device: ``cuda``, or ``cpu`` for tiny models, by which the parts are tested.
        seconds: the part's share of the time.
        out: the folder of the report; ``out/work`` is deleted at the end.
        data: a folder with cats, emoji, lotus and letters, or None.
    """

    device: str
    seconds: float
    out: Path
    data: Path | None = None

    @property
    def tiny(self) -> bool:
        """Whether this only tests that the part runs."""
        return self.device == "cpu"

    @property
    def work(self) -> Path:
        """A folder for what need not be kept."""
        return self.out / "work"

    @property
    def batches(self) -> list[int]:
        """Sizes of batch to measure."""
        return [1, 2, 4] if self.tiny else [1, 2, 4, 8, 16, 32, 64, 128, 256]

    @property
    def providers(self) -> list[str]:
        """The providers of the device."""
        return ["cpu"] if self.tiny else ["cuda", "tensorrt", "tensorrt-rtx"]


def attempt(row: Row, measure: Callable[[], Row]) -> Row:
    """Return ``row`` with what ``measure`` finds, or with the reason why it finds nothing."""
    try:
        return row | measure()
    except Exception as error:
        return row | {"reason": (str(error).strip().splitlines() or [type(error).__name__])[0][:300]}


def available(setup: Setup) -> tuple[list[str], list[Row]]:
    """Return the providers that start here, and a row with the reason for each that does not."""
    found, missing = [], []
    for name in setup.providers:
        try:
            providers.require(name)
            found.append(name)
        except ServiceError as error:
            missing.append({"provider": name, "reason": str(error)})
    return found, missing


def models(setup: Setup, sizes: tuple[int, ...] = (32, 64, 128, 256)) -> Path:
    """Return the folder of the shipped models and of random DCGANs; those are made once, where torch is."""
    folder = setup.work / "models"
    if not folder.exists():
        shipped = ["digits"] if setup.tiny else [path.parents[1].name for path in ROOT.glob(f"models/*/1/{MODEL_FILE}")]
        for name in shipped:
            shutil.copytree(ROOT / "models" / name, folder / name, ignore=shutil.ignore_patterns("model.*.onnx"))
    try:
        from benchmarks.serving.models import build
    except ImportError:  # without torch, the shipped models must do
        return folder
    for size in sizes[:1] if setup.tiny else sizes:
        if not (folder / f"dcgan{size}").exists():
            build(folder, size, width=8 if setup.tiny else 64)
    return folder


def files(setup: Setup) -> Iterator[tuple[str, ModelFile]]:
    """Yield each model's name and file."""
    for path in sorted(models(setup).glob(f"*/1/{MODEL_FILE}")):
        yield path.parents[1].name, read_model(path.parent)


def in_precision(file: ModelFile, precision: Precision) -> bytes:
    """Return a model in float32 as it is, or rewritten in float16 as ``python -m export optimize`` does it."""
    if precision is Precision.FLOAT32:
        return file.data
    import onnx

    from export.optimize import for_gpus

    return bytes(for_gpus(onnx.load_model_from_string(file.data)).SerializeToString())


def rate(call: Callable[[], object], images: int, seconds: float) -> Row:
    """Return images/s and milliseconds a call, over some seconds; the first call does not count."""
    call()
    took: list[float] = []
    started = time.perf_counter()
    while not took or time.perf_counter() - started < seconds:
        before = time.perf_counter()
        call()
        took.append(time.perf_counter() - before)
    took.sort()
    at = {name: round(1000 * took[int(share * (len(took) - 1))], 3) for name, share in (("p50", 0.5), ("p95", 0.95))}
    return {"images_per_second": round(images * len(took) / sum(took), 1)} | {
        f"{name}_ms": ms for name, ms in at.items()
    }
