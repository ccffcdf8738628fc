"""``python -m benchmarks.signing``: what a signature costs, beside the drawing of the picture that it is for."""

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.serving import bare
from service.engine.library import load_library
from service.formats.c2pa import read_signer
from tests import certificates

BATCH = 16


def main(
    model: Annotated[str, typer.Option(help="Of those in models/.")] = "cats",
    turns: Annotated[int, typer.Option(min=1)] = 5,
) -> None:
    """Draw and sign in turns on one thread, and print the processor time that a picture took of each."""
    with tempfile.TemporaryDirectory() as folder:
        signer = read_signer(*certificates.write(Path(folder)).values())
    found = load_library(Path("models"), "cpu").find(model)
    numbers = itertools.count()
    pngs = bare.draw(found, list(range(BATCH)))

    def draw() -> None:
        bare.draw(found, [next(numbers) for _ in range(BATCH)])

    def sign() -> None:
        for one in pngs:
            signer.sign("image/png", one, {"seed": "1"})

    drawn, signed = zip(*((_cost(draw), _cost(sign)) for _ in range(turns)), strict=True)
    more = len(signer.sign("image/png", pngs[0], {"seed": "1"})) - len(pngs[0])
    ratio = statistics.median(b / a for a, b in zip(drawn, signed, strict=True))
    print(f"{found.ref}: drawn in {statistics.median(drawn):.2f} ms, signed in {statistics.median(signed):.2f} ms")
    print(f"a signature costs {ratio:.2f} of the drawing, and {more:,} bytes")


def _cost(work: Callable[[], None], runs: int = 20) -> float:
    """Return the processor time of one picture, in milliseconds."""
    work()
    started = time.process_time()
    for _ in range(runs):
        work()
    return 1000 * (time.process_time() - started) / runs / BATCH


if __name__ == "__main__":
    typer.run(main)
