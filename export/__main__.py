"""The command line: ``python -m export onnx | hub | weights | encoder | upgrade | directions | refine | …``."""

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, Literal, NoReturn

import onnx as onnx_library
import typer
from rich.console import Console
from rich.table import Table

from export import from_run, hub_command, naming, store
from export.errors import ExportError, InputError
from export.serialise import serialise
from service.contract import (
    MODEL_FILE,
    Card,
    ContractError,
    digest_of,
    read_bytes,
)
from service.contract.encoder import ENCODER_FILE
from service.contract.graph import ModelFile, check, read_model
from service.contract.inputs import MAX_DIRECTIONS, MAX_TRUNCATION
from service.engine import sources
from service.engine.providers import registry as providers

app = typer.Typer(
    help="Export runs to model files, inspect them and optimise them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
console = Console(highlight=False)


@app.command()
def onnx(
    run: Annotated[Path, typer.Argument(help="A run folder, or one of its generator-*.pt.")],
    name: Annotated[str, typer.Option(help="Name of the model in requests.")],
    version: Annotated[int | None, typer.Option(min=1, help="Version number; default: the next free one.")] = None,
    models: Annotated[Path, typer.Option(help="Folder of models.")] = Path("models"),
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "unspecified",
    data_name: Annotated[
        str | None, typer.Option(help="Name of the data set; default: the name of its folder.")
    ] = None,
    data_licence: Annotated[str, typer.Option(help="Licence of the training images.")] = "unspecified",
    metrics: Annotated[
        Path | None, typer.Option(help="JSON file of metrics for the card: [{name, value, samples}, …].")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Publish it there, too: s3://…, gs://…, az://… or oci://registry/name:tag."),
    ] = None,
    directions: Annotated[
        int, typer.Option(min=0, max=MAX_DIRECTIONS, help="Number of directions that the model can be moved along.")
    ] = MAX_DIRECTIONS,
    truncation: Annotated[
        float,
        typer.Option(
            min=0, max=MAX_TRUNCATION, help="What requests get that name none: below 1, safer and more alike images."
        ),
    ] = 1.0,
) -> None:
    """Export the latest generator of a run to models/NAME/VERSION/model.onnx; every pixel is compared with torch."""
    from_run.require_name(name)
    number = version or store.next_version(models, name)
    folder = models / name / str(number)
    store.refuse_existing_version(folder)
    data = from_run.model(
        run,
        name=name,
        version=number,
        licence=licence,
        data_name=data_name,
        data_licence=data_licence,
        metrics=metrics,
        directions=directions,
        truncation=truncation,
    )
    store.store(data, folder)
    _print_written(folder / MODEL_FILE, data)
    if to is not None:
        sources.publish(folder, to)
        console.print(f"{to}: {name}/{number}", soft_wrap=True)
    _note_origin(run)


def _note_origin(path: Path) -> None:
    """Print the licence of the weights that a run started from, which binds what is made of them."""
    from training.run import Run

    origin = Run.open(path).config().init_from
    if origin and origin.licence:
        what = f"{origin.licence}, and their images under {origin.data_licence}"
        line = f"It started from {origin.path}: weights under {what}; its own licence must allow that."
        console.print(line, soft_wrap=True)


app.command()(hub_command.hub)


@app.command()
def weights(
    run: Annotated[Path, typer.Argument(help="A run folder.")],
    out: Annotated[Path, typer.Option(help="File to write.")] = Path("weights.safetensors"),
    licence: Annotated[str, typer.Option(help="Licence of the weights.")] = "unspecified",
    data_name: Annotated[
        str | None, typer.Option(help="Name of the data set; default: the name of its folder.")
    ] = None,
    data_licence: Annotated[str, typer.Option(help="Licence of the training images.")] = "unspecified",
) -> None:
    """Save a run's averaged generator and critic to one file that other runs start from: train --init-from FILE."""
    if out.suffix != ".safetensors":
        raise InputError(f"--out {out}: the file's name must end with .safetensors")
    about, size = from_run.weights(run, out, licence=licence, data_name=data_name, data_licence=data_licence)
    console.print(f"{out}: {size:,} bytes, {about.images_seen:,} images seen, licence {about.licence}", soft_wrap=True)


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
def upgrade(
    file: Annotated[Path, typer.Argument(help="A models/NAME/VERSION/model.onnx.")],
    count: Annotated[
        int, typer.Option("--directions", min=0, max=MAX_DIRECTIONS, help="Number of directions.")
    ] = MAX_DIRECTIONS,
) -> None:
    """Write the next version of a model with directions and, where it has a mapping network, truncation."""
    read = _read(file)
    _store_next(file, *_upgraded(read, count))


@app.command()
def directions(
    file: Annotated[Path, typer.Argument(help="A models/NAME/VERSION/model.onnx.")],
    out: Annotated[
        Path | None, typer.Option(help="PNG to draw: a row of seven images for each direction, the seed in the middle.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="The seed that the sheet moves.")] = 0,
    names: Annotated[
        list[str] | None, typer.Option("--name", metavar="NUMBER=NAME", help="Name a direction in the next version.")
    ] = None,
) -> None:
    """Draw a model's directions, and name them; a model without any is given 16, found in its weights."""
    read = _read(file)
    model, card = onnx_library.load_model_from_string(read.data), read.card
    if not card.directions:
        model, card = _upgraded(read, MAX_DIRECTIONS)
    if names:
        card = naming.named(card, names)
    if out is not None:
        from export import sampler, sheet  # ONNX Runtime is slow to import, and the other commands do not need it

        store.write_file(out, sheet.draw(sampler.Sampler(model, card.latent_dim), card, seed))
        console.print(f"{out}: directions 0 to {len(card.directions) - 1}, from top to bottom", soft_wrap=True)
    if names:
        _store_next(file, model, card)


@app.command()
def refine(
    file: Annotated[Path, typer.Argument(help="A models/NAME/VERSION/model.onnx.")],
    data: Annotated[Path, typer.Option(help="Photos of its subject, such as its own training images.")],
    truncation: Annotated[
        float,
        typer.Option(min=0, max=0.95, help="What requests get that name none; at 0.7 and below all is refined."),
    ] = 0.8,
    samples: Annotated[int, typer.Option(min=500, help="Samples to learn from.")] = 4000,
    crop: Annotated[Literal["center", "pad"], typer.Option(help="As in training.")] = "center",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Random seed.")] = 0,
) -> None:
    """Write the next version of a model whose truncation also leads to images that are more real."""
    read = _read(file)
    from export import refine as refining  # torch is slow to import, and inspect does not need it

    model = onnx_library.load_model_from_string(read.data)
    refining.require_refinable(model, read.card)
    photos = refining.open_photos(data, read.card, crop)
    made = refining.refine(model, read.card, photos, samples, truncation, seed, console.print)
    before, after = made.before, made.after
    console.print(
        f"Of {made.samples} new samples {before.precision:.0%} lie among the photos at truncation "
        f"{read.card.default_truncation:g}, and refined {after.precision:.0%} at {truncation:g}; near "
        f"{before.coverage:.0%} and {after.coverage:.0%} of the photos lies a sample.",
        soft_wrap=True,
    )
    _store_next(file, made.model, made.card)


@app.command()
def encoder(
    trained: Annotated[Path, typer.Argument(metavar="ENCODER", help="What python -m training encoder wrote.")],
    file: Annotated[Path, typer.Argument(help="The models/NAME/VERSION/model.onnx that it was trained for.")],
) -> None:
    """Write encoder.onnx beside a model, for POST /invert; it is compared with torch, and its error measured."""
    read = _read(file)
    store.refuse_existing_file(ENCODER_FILE, file.parent)
    from export.encoder_file import build  # torch is slow to import, and inspect does not need it

    data, card = build(trained, read)
    distance = f"what its latents draw differs by {card.error} levels from {card.samples} samples"
    _add(data, ENCODER_FILE, file.parent, f"{distance}, which differ by {card.unrelated} from one another")


@app.command()
def optimize(
    file: Annotated[Path, typer.Argument(help="A models/NAME/VERSION/model.onnx.")],
    provider: Annotated[
        Literal["cpu", "openvino", "cuda"],
        typer.Option(
            help="Execution provider: cpu (bfloat16 on ARM), openvino (Intel CPUs) or cuda (also for tensorrt)."
        ),
    ],
) -> None:
    """Rewrite a model for a provider in reduced precision, measure the pixel error, and write it next to FILE."""
    read = _read(file)
    name = providers.find(provider).rewritten_file()
    store.refuse_existing_file(name, file.parent)
    from export.optimize import optimize as rewrite  # ONNX Runtime is slow to import, and the others do not need it

    data, cost = rewrite(read, provider)
    error = f"{cost.precision}: largest pixel error {cost.largest_error} levels, mean {cost.mean_error:.2f}"
    _add(data, name, file.parent, f"{error}, over {cost.samples} seeds on {cost.device}")


def _read(file: Path) -> ModelFile:
    if file.name != MODEL_FILE:
        raise InputError(
            f"{file} is not named {MODEL_FILE}; pass a file that export wrote: models/NAME/VERSION/{MODEL_FILE}"
        )
    return read_model(file.parent)


def _upgraded(read: ModelFile, count: int) -> tuple[onnx_library.ModelProto, Card]:
    from export.upgrade import upgrade as add  # ONNX Runtime is slow to import, and inspect does not need it

    return add(onnx_library.load_model_from_string(read.data), read.card, count)


def _store_next(file: Path, model: onnx_library.ModelProto, card: Card) -> None:
    """Write a model beside the version that it was made of, as the next one."""
    models = file.parent.parent.parent
    number = store.next_version(models, card.name)
    data = serialise(model, card.model_copy(update={"version": number}))
    folder = models / card.name / str(number)
    store.store(data, folder)
    _print_written(folder / MODEL_FILE, data)


def _add(data: bytes, name: str, folder: Path, measured: str) -> None:
    """Write a file beside a model, and print what was measured of it."""
    store.add(data, name, folder)
    _print_written(folder / name, data)
    console.print(measured, soft_wrap=True)


def _print_written(path: Path, data: bytes) -> None:
    console.print(f"{path}: {len(data):,} bytes, sha256 {digest_of(data)}", soft_wrap=True)


def main() -> NoReturn:
    """Run the command line; exit code 0: done, 1: export failed, 2: wrong usage or input."""
    try:
        app(prog_name="python -m export")
    except ExportError as error:
        _exit(error, error.exit_code)
    except ContractError as error:
        _exit(error.line, InputError.exit_code)
    except sources.SourceError as error:  # the source cannot be written
        _exit(error, InputError.exit_code)
    sys.exit(0)


def _exit(error: Exception | str, code: int) -> NoReturn:
    print(f"error: {error}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
