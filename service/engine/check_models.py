"""``python -m service.engine.check_models``: open, warm and compare model files in a process of their own.

A file that crashes, hangs or fills memory ends this process and not the server. :mod:`service.engine.checker` starts
it, reads a line of JSON for each file that is begun and each that is done, and kills it when a file takes too long.

What is used is always the CPU provider, in float32: it is there wherever the service runs, opens in milliseconds, and
runs the same bounded graph that another provider would compile.
"""

import argparse
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.contract import INPUT, OUTPUT, Card, ContractError, Refusal, as_line
from service.contract.encoder import ENCODER_FILE
from service.contract.files import read_verified
from service.contract.graph import batch_bytes, check, check_encoder
from service.contract.inputs import MAX_AMOUNT, MAX_LATENT, MAX_TRUNCATION
from service.engine import onnx_runtime
from service.engine.rows import Row, neutral, to_feeds
from service.engine.verdicts import PLACE

ALONE = 16  # images of the largest batch that are drawn alone, too
MIXED = 2  # levels that a picture may change with its batch; sums in another order change one
COPIES = 6  # of a file that opening it takes: its bytes, the parsed message, ONNX Runtime's own and prepacked weights
SPARE = 64 * 2**20  # bytes for what opening and running takes besides weights and values
PR_SET_PDEATHSIG = 1  # Linux's: linux/prctl.h


def main() -> None:
    """Check the files that the arguments name, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m service.engine.check_models", description=__doc__)
    parser.add_argument("--batch", type=int, required=True, help="most images in a batch")
    parser.add_argument("--memory", type=int, required=True, help="bytes that such a batch may take")
    parser.add_argument("--seconds", type=float, required=True, help="CPU time that a file may take")
    parser.add_argument("--nice", type=int, default=0, help="nice value of this process")
    parser.add_argument("files", type=Path, nargs="+")
    asked = parser.parse_args()
    end_with_parent()
    os.nice(asked.nice)
    output = _take_stdout()
    onnx_runtime.load()  # before the limits of memory, which are a file's alone

    def report(**said: Any) -> None:
        print(json.dumps(said), file=output, flush=True)

    for file in asked.files:
        report(begun=str(file))
        limit_cpu(asked.seconds)
        try:
            read = read_verified(file.parent, file.name)
        except ContractError as error:
            report(**_refusal(error.kind, str(error)))
            continue
        report(digest=read.digest)
        check_file = _check_encoder if file.name == ENCODER_FILE else _check_model
        report(**_verdict(check_file, read.data, asked.batch, asked.memory))


def _verdict(
    check_file: Callable[[bytes, int, int], dict[str, Any]], data: bytes, batch: int, memory: int
) -> dict[str, Any]:
    try:
        return check_file(data, batch, memory)
    except ContractError as error:
        return _refusal(error.kind, str(error))
    except MemoryError:
        return _refusal(Refusal.TOO_MUCH_MEMORY, f"{PLACE} takes more memory than a batch of {batch} may")
    except Exception as error:  # ONNX Runtime's exceptions have no common ancestor but this
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return _refusal(Refusal.DOES_NOT_RUN, f"{PLACE} does not run: {as_line(reason)}")
    finally:
        limit_memory(None)


def _refusal(kind: Refusal, sentence: str) -> dict[str, Any]:
    return {"refused": sentence, "kind": kind.slug}


def _check_model(data: bytes, batch: int, memory: int) -> dict[str, Any]:
    card = check(data, PLACE, batch=batch, memory=memory)
    limit_memory(memory + COPIES * len(data) + SPARE)
    return {"exact": run(data, card, batch), "metadata": card.to_metadata(), "bytes": batch_bytes(data, batch)}


def _check_encoder(data: bytes, batch: int, memory: int) -> dict[str, Any]:
    """Check an encoder, which is given one image at a time."""
    card = check_encoder(data, PLACE, memory=memory)
    limit_memory(memory + COPIES * len(data) + SPARE)
    session = _session(data)
    for level in (0, 255):
        images = np.full((1, card.height, card.width, card.channels), level, np.uint8)
        (latents,) = session.run([INPUT], {OUTPUT: images})
        if latents.shape != (1, card.latent_dim) or not np.isfinite(latents).all():
            raise ContractError(Refusal.WRONG_SIGNATURE, f"{PLACE} gives no latent of {card.latent_dim} finite numbers")
    return {"exact": True, "metadata": card.to_metadata(), "bytes": batch_bytes(data, 1)}


def _session(data: bytes) -> Any:
    """Return a session with one thread."""
    onnxruntime = onnx_runtime.load()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run(data: bytes, card: Card, batch: int) -> bool:
    """Draw batches of every size that doubles, and images alone; return whether an image is the same in each.

    Raises:
        ContractError: an image has another shape than the card says, or depends on what it is drawn with.
    """
    session = _session(data)

    def draw(rows: Sequence[Row]) -> NDArray[np.uint8]:
        images: NDArray[np.uint8] = session.run([OUTPUT], to_feeds(card, rows))[0]
        if images.shape != (len(rows), card.height, card.width, card.channels):
            raise ContractError(Refusal.WRONG_SIGNATURE, f"{PLACE} drew an array of {images.shape}, against its card")
        return images

    for row in _extremes(card):
        draw([row])
    rows = _mixed(card, batch)
    alone = np.concatenate([draw([row]) for row in rows[:ALONE]])
    worst = 0
    for size in sorted({*(1 << i for i in range(1, batch.bit_length())), batch}):
        together = draw(rows[:size])[:ALONE].astype(np.int16)
        worst = max(worst, int(np.abs(together - alone[: len(together)]).max()))
    if worst > MIXED:
        sentence = f"{PLACE} draws an image {worst} levels differently in a batch than alone"
        raise ContractError(Refusal.ROWS_MIXED, sentence)
    return worst == 0


def _extremes(card: Card) -> Iterator[Row]:
    """Yield the ends of what a client may ask for; the last class of a table that is too short fails here."""
    last = max(0, len(card.classes) - 1)
    for value, label, truncation in ((0, 0, 0.0), (MAX_LATENT, last, MAX_TRUNCATION), (-MAX_LATENT, last, 1.0)):
        amounts = np.full(len(card.directions), np.sign(value) * MAX_AMOUNT, np.float32)
        yield Row(np.full(card.latent_dim, value, np.float32), label, truncation, amounts)


def _mixed(card: Card, count: int) -> list[Row]:
    """Return rows that differ in every input: classes, truncations and amounts that clients would mix in a batch."""
    latents = np.random.RandomState(0).randn(count, card.latent_dim).astype(np.float32)
    amounts = np.random.RandomState(1).uniform(-2, 2, (count, len(card.directions))).astype(np.float32)
    rows = zip(neutral(card, latents), amounts, strict=True)
    return [row._replace(truncation=1 - i % 3 / 4, directions=one) for i, (row, one) in enumerate(rows)]


def limit_memory(more: int | None) -> None:
    """Let this process map so many more bytes of data than it has now; None: any number.

    RLIMIT_DATA and not RLIMIT_AS: it counts writable private memory, which is what can fill a machine, and not the
    libraries' files and the address space that allocators merely reserve. An allocation beyond it fails, and ONNX
    Runtime raises; watching the resident size from outside would come too late for a gigabyte that is filled in 0.2 s.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limit, macOS ignores it
        import resource

        soft = resource.RLIM_INFINITY if more is None else _data_bytes() + more
        resource.setrlimit(resource.RLIMIT_DATA, (soft, resource.getrlimit(resource.RLIMIT_DATA)[1]))


def _data_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData:"))


def limit_cpu(seconds: float) -> None:
    """Let the kernel end this process after so much more CPU time: the backstop where the server cannot."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = int(used.ru_utime + used.ru_stime + seconds) + 2
        resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def end_with_parent() -> None:
    """Let Linux kill this process when the thread that started it ends, and first when memory is short."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _take_stdout() -> Any:
    """Return what was stdout, which is for the reports alone from now on: libraries write to stderr."""
    report = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return report


if __name__ == "__main__":
    main()
    sys.exit(0)
