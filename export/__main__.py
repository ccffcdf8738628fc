"""The command line: ``python -m export onnx | inspect | optimize``."""

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import onnx as onnx_library
import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from export import store
from export.errors import ExportError, InputError
from service.contract import (
    MODEL_FILE,
    ContractError,
    Metric,
    digest_of,
    read_bytes,
)
from service.contract.card import NAME_PATTERN
from service.contract.graph import check, read_model
from service.engine.providers import registry as providers

app = typer.Typer(
    help="Make model files of runs, and look into them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)


@app.command()
def onnx(
    run: Annotated[Path, typer.Argument(help="A run folder, or one of its generator-*.pt.")],
    name: Annotated[str, typer.Option(help="What requests will call the model.")],
    version: Annotated[int | None, typer.Option(min=1, help="Default: the next free one.")] = None,
    models: Annotated[Path, typer.Option(help="Where models stand.")] = Path("models"),
    licence: Annotated[str, typer.Option(help="Of the weights.")] = "unspecified",
    data_name: Annotated[str | None, typer.Option(help="What the images are; default: their folder's name.")] = None,
    data_licence: Annotated[str, typer.Option(help="Of the images that they were trained on.")] = "unspecified",
    metrics: Annotated[Path | None, typer.Option(help="JSON: [{name, value, samples}, …], for the card.")] = None,
) -> None:
    """Export a run's latest generator, checked pixel by pixel, to models/NAME/VERSION/model.onnx."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputError(f"--name {name}: a name is made of lower-case letters, digits, - and _, such as digits")
    number = version or store.next_version(models, name)
    folder = models / name / str(number)
    store.refuse_taken(folder)
    try:
        from export.onnx_file import build  # torch is slow to import, and inspect does without
    except ModuleNotFoundError as error:
        what = "make train, and then: source .venv-dev/bin/activate"
        raise InputError(f"exporting needs {error.name}, which is not installed here; type: {what}") from error

    data = build(
        run,
        name=name,
        version=number,
        licence=licence,
        data_name=data_name,
        data_licence=data_licence,
        metrics=_read_metrics(metrics) if metrics else [],
    )
    store.store(data, folder)
    console.print(f"{folder / MODEL_FILE}: {len(data):,} bytes, sha256 {digest_of(data)}", soft_wrap=True)


def _read_metrics(path: Path) -> list[Metric]:
    try:
        return TypeAdapter(list[Metric]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"--metrics {path} is not a JSON list of {{name, value, samples}}") from error


@app.command()
def inspect(file: Annotated[Path, typer.Argument(help="A model.onnx.")]) -> None:
    """Check a model file against the contract and print its card."""
    data = read_bytes(file)
    card = check(data, str(file))
    graph = onnx_library.load_model_from_string(data).graph
    operators = Counter(node.op_type for node in graph.node)
    table = Table.grid(padding=(0, 2))
    for key, value in card.to_metadata().items():
        table.add_row(key, value)
    table.add_row("sha256", digest_of(data))
    table.add_row("bytes", f"{len(data):,}")
    table.add_row("operators", ", ".join(f"{name} {count}" for name, count in operators.most_common()))
    console.print(table)


@app.command()
def optimize(
    file: Annotated[Path, typer.Argument(help="A models/NAME/VERSION/model.onnx.")],
    provider: Annotated[
        Literal["cpu", "openvino", "cuda"],
        typer.Option(help="What will run it: cpu on ARM, openvino on Intel's CPUs, cuda for tensorrt, too."),
    ],
) -> None:
    """Rewrite a model for a provider, measure how far its pixels are off, and write it beside FILE."""
    if file.name != MODEL_FILE:
        raise InputError(
            f"{file} is not called {MODEL_FILE}; optimize what export wrote: models/NAME/VERSION/{MODEL_FILE}"
        )
    name = providers.find(provider).rewritten_file()
    store.refuse_added(name, file.parent)
    from export.optimize import optimize as rewrite  # ONNX Runtime is slow to import, and the others do without

    data, cost = rewrite(read_model(file.parent), provider)
    store.add(data, name, file.parent)
    console.print(
        f"{file.parent / name}: sha256 {digest_of(data)}\n"
        f"in {cost.precision} at most {cost.largest_error} levels off, {cost.mean_error:.2f} on average, "
        f"over {cost.samples} seeds on {cost.device}",
        soft_wrap=True,
    )


def main() -> NoReturn:
    """Run the command line: 0 done, 1 refused, 2 wrong usage or input."""
    try:
        app(prog_name="python -m export")
    except ExportError as error:
        _exit(error, error.exit_code)
    except ContractError as error:  # of the file that inspect was given
        _exit(error, InputError.exit_code)
    sys.exit(0)


def _exit(error: Exception, code: int) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
