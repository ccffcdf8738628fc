"""A file of weights: the averaged generator and the critic of a run, for other runs to start from (``--init-from``).

It is a safetensors file, which holds numbers only: none that a stranger made can run code. Its metadata says what the
weights were trained on and under which licence they are.
"""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from training.errors import InputError
from training.files import write_atomically
from training.run import Run

SUFFIX = ".safetensors"
KEY = "nelumbo-weights-1"  # of the metadata, with the number of this format
NETWORKS = ("average", "critic")  # names of tensors begin with one of them


class About(BaseModel):
    """Where weights come from."""

    model_config = ConfigDict(frozen=True)

    recipe: str  # its name
    images_seen: int
    data: str  # name of the images
    data_licence: str
    licence: str  # of the weights


def write(run: Run, path: Path, *, data_name: str | None, data_licence: str, licence: str) -> tuple[About, int]:
    """Write the networks of a run's latest checkpoint; return what is said of them, and how many bytes they are.

    Raises:
        InputError: the run has no checkpoint, or ``path`` is there already.
        DiskError: the file cannot be written.
    """
    if path.exists():
        raise InputError(f"{path} already exists; choose another name")
    config, state = run.config(), run.load_checkpoint()[0]
    about = About(
        recipe=config.name,
        images_seen=state["seen"],
        data=data_name or run.report().name,
        data_licence=data_licence,
        licence=licence,
    )
    tensors = {
        f"{network}.{name}": tensor.contiguous()
        for network in NETWORKS
        for name, tensor in state["gan"][network].items()
    }
    data = save(tensors, {KEY: about.model_dump_json()})
    write_atomically(path, data)
    return about, len(data)


def read(path: Path) -> tuple[About, dict[str, Mapping[str, Tensor]]]:
    """Read a file that :func:`write` wrote: what is said of it, and the tensors of each of :data:`NETWORKS`.

    Raises:
        InputError: there is no such file, or it is another.
    """
    try:
        with safe_open(path, framework="pt") as file:
            about = About.model_validate_json((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (SafetensorError, OSError, KeyError, ValidationError) as error:
        raise InputError(f"{path} holds no weights that python -m export weights wrote") from error
    parts = {name: name.partition(".") for name in tensors}
    return about, {
        network: {key: tensors[name] for name, (first, _, key) in parts.items() if first == network}
        for network in NETWORKS
    }
