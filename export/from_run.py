"""What commands export of a run: its model file and its weights, with errors of this package.

torch is imported when it is needed: it is slow to import, and commands for model files do without it.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from export.errors import ExportError, InputError
from service.contract import Metric
from service.contract.card import NAME_PATTERN
from service.contract.inputs import MAX_DIRECTIONS

if TYPE_CHECKING:
    from training.weights import About


def require_name(name: str) -> None:
    """Raise InputError where a model cannot be called so."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise InputError(f"--name {name} is invalid; use lower-case letters, digits, - and _, for example digits")


def model(
    run: Path,
    *,
    name: str,
    version: int,
    licence: str,
    data_name: str | None,
    data_licence: str,
    metrics: Path | None,
    directions: int = MAX_DIRECTIONS,
    truncation: float = 1.0,
) -> bytes:
    """Return the model file of a run's latest generator; raises ExportError."""
    try:
        from export.onnx_file import build
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    return build(
        run,
        name=name,
        version=version,
        licence=licence,
        data_name=data_name,
        data_licence=data_licence,
        metrics=_read_metrics(metrics) if metrics else [],
        directions=directions,
        truncation=truncation,
    )


def weights(run: Path, out: Path, *, licence: str, data_name: str | None, data_licence: str) -> tuple["About", int]:
    """Write a run's generator and critic to a file; return what it says of them, and its size; raises ExportError."""
    try:
        from training import errors
        from training import weights as files
        from training.run import Run
    except ModuleNotFoundError as error:
        raise _not_installed(error) from error
    try:
        return files.write(Run.open(run), out, data_name=data_name, data_licence=data_licence, licence=licence)
    except errors.InputError as error:
        raise InputError(str(error)) from error
    except errors.TrainingError as error:
        raise ExportError(str(error)) from error


def _read_metrics(path: Path) -> list[Metric]:
    try:
        metrics = TypeAdapter(list[Metric]).validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"--metrics {path} is not a JSON list of {{name, value, samples}}") from error
    return [metric for metric in metrics if not metric.name.endswith("-error")]  # a card has room for 64 figures


def _not_installed(error: ModuleNotFoundError) -> InputError:
    what = "pip install 'nelumbo[train]', or in a clone: make train-env; source .venv-train/bin/activate"
    return InputError(f"export needs {error.name}, which is not installed; run: {what}")
