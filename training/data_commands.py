"""The commands ``python -m training data mnist | stacked``."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from training import mnist
from training.errors import InputError
from training.metrics import stacked

app = typer.Typer(help="Download data sets.", no_args_is_help=True)
console = Console(highlight=False)


@app.command("mnist")
def fetch_mnist(out: Annotated[Path, typer.Option(help="Folder to write to.")]) -> None:
    """Download MNIST and verify its checksums."""
    mnist.fetch(out)
    console.print(
        f"MNIST is in {out}. Train on it with: python -m training train --data {out} --recipe digits", soft_wrap=True
    )


@app.command("stacked")
def stack_mnist(
    data: Annotated[Path, typer.Option(help="Folder of MNIST, or another idx file of digits.")],
    out: Annotated[Path, typer.Option(help="Zip file to write.")] = Path("stacked.zip"),
) -> None:
    """Write Stacked MNIST: images with a random digit in each of three channels."""
    if not out.parent.is_dir():
        raise InputError(f"--out {out}: the folder {out.parent} does not exist")
    stacked.write(data, out)
    how = f"--data {out} --recipe digits-best --set images.channels=3"
    console.print(f"Stacked MNIST is in {out}. Train on it with: python -m training train {how}", soft_wrap=True)
