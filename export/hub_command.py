"""The command ``export hub``: writes a folder for the Hugging Face Hub from a model or a run."""

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from export import from_run, store
from export import hub as folders
from export.errors import InputError
from service.contract import MODEL_FILE, Card
from service.contract.graph import check

Source = Annotated[Path, typer.Argument(metavar="MODEL|RUN", help="A models/NAME/VERSION, or a run folder.")]
Out = Annotated[Path, typer.Option(help="Folder to write; it must not exist.")]
OfRun = Annotated[Path | None, typer.Option("--run", help="The run of the MODEL, to add its weights.safetensors.")]
Name = Annotated[str | None, typer.Option(help="Name of the model, where a RUN is given.")]
Licence = Annotated[str, typer.Option(help="Licence of the weights, where a RUN is given.")]
DataName = Annotated[str | None, typer.Option(help="Name of the data set, where a RUN is given.")]
DataLicence = Annotated[str, typer.Option(help="Licence of the training images, where a RUN is given.")]
Metrics = Annotated[Path | None, typer.Option(help="JSON file of metrics, where a RUN is given.")]


def hub(
    source: Source,
    out: Out,
    run: OfRun = None,
    name: Name = None,
    licence: Licence = "unspecified",
    data_name: DataName = None,
    data_licence: DataLicence = "unspecified",
    metrics: Metrics = None,
) -> None:
    """Write a folder for the Hugging Face Hub: card, model.onnx, sha256, and the weights where there is a run."""
    if out.exists():
        raise InputError(f"{out} already exists; name a new folder")
    folder = source.parent if source.name == MODEL_FILE else source
    if (folder / MODEL_FILE).exists():
        files = folders.files_of_model(folder)
    else:
        given = {"licence": licence, "data_name": data_name, "data_licence": data_licence, "metrics": metrics}
        files, run = {MODEL_FILE: _exported(source, name, **given)}, source
    card = check(files[MODEL_FILE], str(source))
    if run is not None:
        files[folders.WEIGHTS] = _weights(run, card)
    made = folders.complete(files, card)
    store.write_folder(made, out)
    sizes = ", ".join(f"{name} {len(data):,}" for name, data in made.items())
    Console(highlight=False).print(f"{out}: {sizes} bytes\nhf upload OWNER/NAME {out}", soft_wrap=True)


def _exported(run: Path, name: str | None, **given: Any) -> bytes:
    """Return the model file of a run as version 1."""
    if name is None:
        raise InputError(f"{run} is no folder of a model; where it is a run, say --name NAME")
    from_run.require_name(name)
    return from_run.model(run, name=name, version=1, **given)


def _weights(run: Path, card: Card) -> bytes:
    data = card.dataset
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / folders.WEIGHTS
        from_run.weights(run, path, licence=card.licence, data_name=data.name, data_licence=data.licence)
        return path.read_bytes()
