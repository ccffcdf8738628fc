"""A run folder: what stands where in it, and how it is opened and read.

``runs/00003-digits-dcgan/`` holds config.json, data.json, log.jsonl, TensorBoard's events.*, reals.png, fakes-*.png on
fixed latents, their timelapse.webp, report.html, checkpoint-latest.pt (everything needed to go on),
checkpoint-previous.pt (the one before it) and generator-*.pt (small: the averaged weights and their recipe).
"""

import io
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from training import networks
from training.errors import InputError
from training.files import keep, write_atomically
from training.images import Report
from training.recipe import Recipe

Model = TypeVar("Model", bound=BaseModel)


class Origin(BaseModel):
    """The run that another run's networks come from (--init-from)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    images_seen: int  # by then


class Config(BaseModel):
    """A run, resolved: what config.json says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str  # of the recipe
    recipe: Recipe
    data: str
    seed: int
    device: str
    minutes: float | None  # a budget of time instead of recipe.kimg
    init_from: Origin | None = None  # where the first weights came from; they stand in the first checkpoint


@dataclass(frozen=True)
class Run:
    """The folder of one run."""

    path: Path

    @classmethod
    def create(cls, out: Path, config: Config) -> "Run":
        """Make the next free folder, ``00003-digits-dcgan``, and write its config."""
        taken = [int(match[1]) for path in out.glob("*") if (match := re.match(r"(\d{5})-", path.name))]
        run = cls(out / f"{max(taken, default=-1) + 1:05d}-{Path(config.name).stem}-{config.recipe.objective.name}")
        try:
            run.path.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"--out {out}: {run.path} cannot be made ({error.strerror})") from error
        run.write_text("config.json", config.model_dump_json(indent=2))
        return run

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Open a run folder that is there; raises InputError if it is none."""
        if not (path / "config.json").is_file():
            raise InputError(f"{path} is not a run folder such as runs/00000-digits-dcgan: it holds no config.json")
        return cls(path)

    @property
    def checkpoint(self) -> Path:
        """Where everything needed to go on stands."""
        return self.path / "checkpoint-latest.pt"

    def begun(self) -> bool:
        """Tell whether there is anything to go on with; a run that was killed before that starts anew."""
        return self.checkpoint.exists() or self.previous.exists()

    def config(self) -> Config:
        """Read config.json; raises InputError where it is not one of ours."""
        return self._read("config.json", Config)

    def report(self) -> Report:
        """Read data.json; raises InputError where it is not one of ours."""
        return self._read("data.json", Report)

    def _read(self, name: str, kind: type[Model]) -> Model:
        try:
            return kind.model_validate_json((self.path / name).read_bytes())
        except (OSError, ValidationError) as error:
            raise InputError(f"{self.path / name} cannot be read, or another version wrote it") from error

    def write_text(self, name: str, text: str) -> None:
        """Write a small file atomically."""
        write_atomically(self.path / name, (text + "\n").encode())

    @property
    def previous(self) -> Path:
        """Where the checkpoint before that one stands."""
        return self.path / "checkpoint-previous.pt"

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Write the checkpoint atomically, and keep the one that it replaces.

        At every moment a whole checkpoint is called latest: the old one only gets a second name before it loses it.
        """
        if self.checkpoint.exists():
            keep(self.checkpoint, self.previous)
        _save(self.checkpoint, state)

    def load_checkpoint(self) -> tuple[dict[str, Any], str | None]:
        """Read the checkpoint, or the previous one where it is damaged; the damaged one is set aside.

        Returns:
            The state, and a sentence for the user if it is the previous one.

        Raises:
            InputError: there is no checkpoint, or none that is whole.
        """
        try:
            return _load(self.checkpoint), None
        except InputError as error:
            if not self.previous.exists():
                raise
            state = _load(self.previous)
            if self.checkpoint.exists():  # else the next save would keep the damaged one, and drop the whole one
                self.checkpoint.replace(self.path / "checkpoint-damaged.pt")
            return state, f"{error}; going on with {self.previous.name}"

    def save_generator(self, average: nn.Module, recipe: Recipe, images_seen: int) -> None:
        """Write a snapshot of the averaged generator for those who only draw: weights and what rebuilds them."""
        weights = {name: tensor.cpu().contiguous() for name, tensor in average.state_dict().items()}
        state = {"recipe": recipe.model_dump_json(), "images_seen": images_seen, "weights": weights}
        _save(self.path / f"generator-{images_seen:09d}.pt", state)

    def load_generator(self) -> "Snapshot":
        """Rebuild the latest snapshot's generator, in evaluation mode on the CPU.

        Raises:
            InputError: the run has saved none yet, or the file is damaged.
        """
        snapshots = sorted(self.path.glob("generator-*.pt"))
        if not snapshots:
            raise InputError(f"{self.path} holds no generator yet; let it train to its first snapshot")
        state = _load(snapshots[-1])
        try:
            recipe = Recipe.model_validate_json(state["recipe"])
            generator = networks.build_generator(recipe).eval().requires_grad_(False)
            generator.load_state_dict(state["weights"])
        except (KeyError, ValidationError, RuntimeError) as error:
            raise InputError(f"{snapshots[-1]} does not hold a generator of this version: {error}") from error
        return Snapshot(generator, recipe, state["images_seen"])


@dataclass(frozen=True)
class Snapshot:
    """A trained generator: latent (N, Z) -> image (N, C, S, S) in [-1, 1]."""

    generator: nn.Module
    recipe: Recipe
    images_seen: int


def load_checkpoint_of(path: Path) -> dict[str, Any]:
    """Read another run's latest checkpoint, given as its folder or as the file, and leave all there as it is.

    Raises:
        InputError: there is none, or it is damaged.
    """
    return _load(path if path.is_file() else Run.open(path).checkpoint)


def _save(path: Path, state: dict[str, Any]) -> None:
    buffer = io.BytesIO()  # whole in memory first: a full disk then shows as one plain OSError
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def _load(path: Path) -> dict[str, Any]:
    """Load tensors and plain values only: a pickle that would run code is refused."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except Exception as error:  # torch's unpickler raises almost anything at a file that is none, such as a KeyError
        raise InputError(f"{path} is damaged or was not written by this program") from error
    if not isinstance(state, dict):
        raise InputError(f"{path} was not written by this program")
    return state
