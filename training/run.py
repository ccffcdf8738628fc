"""A run folder: its files, and how they are written and read.

``runs/00003-digits-gan/`` holds config.json, data.json, log.jsonl, TensorBoard's events.*, reals.png, fakes-*.png on
fixed latents, their timelapse.webp, report.html, checkpoint-latest.pt (everything needed to resume),
checkpoint-previous.pt (the one before it) and generator-*.pt (small: the averaged weights and their recipe).
"""

import io
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import nn

from training import networks
from training.errors import InputError
from training.files import hard_link, write_atomically
from training.images import Report
from training.recipe import Recipe

Model = TypeVar("Model", bound=BaseModel)


class InitFrom(BaseModel):
    """The run, or the file of weights, whose networks another run starts from (--init-from)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    images_seen: int  # by then
    licence: str | None = None  # of a file of weights, which binds what is made of them
    data_licence: str | None = None


class Config(BaseModel):
    """The resolved configuration of a run: config.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str  # of the recipe
    recipe: Recipe
    data: str
    seed: int
    device: str
    minutes: float | None  # a budget of time instead of recipe.kimg
    classes: str | None = None  # where the class of an image is found (--classes); data.json lists the classes
    init_from: InitFrom | None = None  # where the first weights came from; the first checkpoint holds them


@dataclass(frozen=True)
class Run:
    """The folder of one run."""

    path: Path
    snapshot: Path | None = None  # the generator-*.pt to draw with, where it is not the latest one

    @classmethod
    def create(cls, out: Path, config: Config) -> "Run":
        """Make the next free folder, ``00003-digits-gan``, and write its config.

        Another run that starts at the same moment takes another folder.
        """
        try:
            out.mkdir(parents=True, exist_ok=True)
            run = cls(_make_next(out, f"{Path(config.name).stem}-{config.recipe.objective.name}"))
        except OSError as error:
            raise InputError(f"--out {out}: no run folder can be made there ({error.strerror})") from error
        run.write_text("config.json", config.model_dump_json(indent=2))
        return run

    @classmethod
    def open(cls, path: Path) -> "Run":
        """Open an existing run folder, or one of its generator-*.pt to draw with; raises InputError for others."""
        snapshot = path if path.match("generator-*.pt") else None
        folder = path.parent if snapshot else path
        if not (folder / "config.json").is_file():
            raise InputError(f"{folder} is not a run folder such as runs/00000-digits-gan: it holds no config.json")
        return cls(folder, snapshot)

    @property
    def checkpoint(self) -> Path:
        """The file with everything needed to resume."""
        return self.path / "checkpoint-latest.pt"

    def has_checkpoint(self) -> bool:
        """Return whether there is a checkpoint to resume from; a run that was killed before the first starts anew."""
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
        """The checkpoint before the latest one."""
        return self.path / "checkpoint-previous.pt"

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Write the checkpoint atomically, and keep the one that it replaces.

        There is a complete latest checkpoint at every moment: the old one gets its second name before it is replaced.
        """
        if self.checkpoint.exists():
            hard_link(self.checkpoint, self.previous)
        _save(self.checkpoint, state)

    def load_checkpoint(self) -> tuple[dict[str, Any], str | None]:
        """Read the checkpoint, or the previous one where it is damaged; the damaged one is set aside.

        Returns:
            The state, and a sentence for the user if it is the previous one.

        Raises:
            InputError: there is no checkpoint, or none that is complete.
        """
        try:
            return _load_checkpoint(self.checkpoint), None
        except InputError as error:
            if not self.previous.exists():
                raise
            state = _load_checkpoint(self.previous)
            if self.checkpoint.exists():  # else the next save would make it the previous one, and drop the good one
                self.checkpoint.replace(self.path / "checkpoint-damaged.pt")
            return state, f"{error}; resuming from {self.previous.name}"

    def has_generator(self, images_seen: int) -> bool:
        """Return whether there is a snapshot of the generator at that number of images."""
        return self._generator(images_seen).exists()

    def _generator(self, images_seen: int) -> Path:
        return self.path / f"generator-{images_seen:09d}.pt"

    def save_generator(self, average: nn.Module, recipe: Recipe, images_seen: int, classes: Sequence[str] = ()) -> None:
        """Write a snapshot of the averaged generator, from which images are drawn: weights, recipe, classes."""
        weights = {name: tensor.cpu().contiguous() for name, tensor in average.state_dict().items()}
        state = {"recipe": recipe.model_dump_json(), "images_seen": images_seen, "weights": weights}
        _save(self._generator(images_seen), state | {"classes": list(classes)})

    def snapshots(self) -> list[Path]:
        """Return the files of all generators that were saved, the earliest first."""
        return sorted(self.path.glob("generator-*.pt"))

    def load_generator(self) -> "Snapshot":
        """Rebuild the generator of the chosen snapshot, or else of the latest one, in evaluation mode on the CPU.

        Raises:
            InputError: the run has saved none yet, or the file is damaged.
        """
        snapshots = [self.snapshot] if self.snapshot else self.snapshots()
        if not snapshots:
            raise InputError(f"{self.path} holds no generator yet; let it train to its first snapshot")
        state = _load(snapshots[-1])
        try:
            recipe, classes = Recipe.model_validate_json(state["recipe"]), tuple(state.get("classes", ()))
            generator = networks.build_generator(recipe, len(classes)).eval().requires_grad_(False)
            generator.load_state_dict(state["weights"])
        except (KeyError, ValidationError, RuntimeError) as error:
            raise InputError(f"{snapshots[-1]} does not hold a generator of this version: {error}") from error
        return Snapshot(generator, recipe, state["images_seen"], classes)


def _make_next(out: Path, name: str) -> Path:
    """Make and return the folder of the next free number, also where another process makes folders, too."""
    while True:
        taken = [int(match[1]) for path in out.glob("*") if (match := re.match(r"(\d{5})-", path.name))]
        path = out / f"{max(taken, default=-1) + 1:05d}-{name}"
        with suppress(FileExistsError):
            path.mkdir()
            return path


@dataclass(frozen=True)
class Snapshot:
    """A trained generator: latent (N, Z) and, if there are classes, label (N,) -> image (N, C, S, S) in [-1, 1]."""

    generator: nn.Module
    recipe: Recipe
    images_seen: int
    classes: tuple[str, ...] = ()  # names, in the order of the labels


def load_checkpoint_of(path: Path) -> dict[str, Any]:
    """Read another run's latest checkpoint, given as its folder or as the file, and leave all there as it is.

    Raises:
        InputError: there is none, or it is damaged.
    """
    return _load_checkpoint(path if path.is_file() else Run.open(path).checkpoint)


def _load_checkpoint(path: Path) -> dict[str, Any]:
    state = _load(path)
    if "game" in state:  # the name in checkpoints of before version 0.2
        state["gan"] = state.pop("game")
    return state


def _save(path: Path, state: dict[str, Any]) -> None:
    buffer = io.BytesIO()  # in memory first: a full disk then raises one plain OSError
    torch.save(state, buffer)
    write_atomically(path, buffer.getvalue())


def _load(path: Path) -> dict[str, Any]:
    """Load tensors and plain values only: a pickle that would run code is refused."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except Exception as error:  # torch's unpickler raises almost anything for other files, such as KeyError
        raise InputError(f"{path} is damaged or was not written by this program") from error
    if not isinstance(state, dict):
        raise InputError(f"{path} was not written by this program")
    return state
