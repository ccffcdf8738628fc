"""A recipe: every choice of a training run, validated before the first image is read.

Recipes are the YAML files in ``recipes/``; ``--set key=value`` changes one of their fields by its dotted name.
"""

from collections.abc import Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, model_validator

from training.augment import AUGMENTATIONS
from training.configs import NetworksConfig, ObjectiveConfig, OptimiserConfig
from training.errors import InputError
from training.networks import CRITICS, GENERATORS
from training.objectives import OBJECTIVES, build
from training.registry import Registry

FOLDER = Path(__file__).parent / "recipes"
# Networks double from 4 or 7 pixels: the powers of two, and MNIST's 28 with its own doublings.
SIZES = (16, 28, 32, 56, 64, 112, 128, 224, 256)
PICTURE_KIMG, SNAPSHOT_KIMG = 10.0, 50.0  # of a recipe that says nothing of them
FEWEST, MOST = 10, 100  # snapshots of a run that counts them in epochs; lines of its log, at least


# The fields that name an entry of a registry.
CHOICES: Mapping[str, Registry[Any]] = {
    "generator.family": GENERATORS,
    "critic.family": CRITICS,
    "objective.name": OBJECTIVES,
    "augment": AUGMENTATIONS,
}


class Recipe(NetworksConfig):
    """One training run but for its data, seed and device. Time is counted in thousands of real images seen (kimg)."""

    summary: str
    objective: ObjectiveConfig
    optimiser: OptimiserConfig
    augment: tuple[str, ...] = ()  # list; what is done to the images that the critic sees (DiffAugment)
    batch: int = Field(ge=2)  # images in a step, of all processes together
    balance: bool = False  # show all classes equally often, however many images each has
    double_batch_kimg: float | None = Field(None, gt=0)  # from when on the batch is twice as large
    kimg: float = Field(gt=0)  # the whole run
    ema_kimg: float = Field(gt=0)  # half-life of the generator's moving average
    tick_kimg: float = Field(1.0, gt=0)  # between lines of log.jsonl
    picture_kimg: float | None = Field(None, gt=0)  # between fakes-*.png; 10 where neither this nor the next is given
    picture_batches: int | None = Field(None, ge=1)  # the same in batches
    snapshot_kimg: float | None = Field(None, gt=0)  # between checkpoints; 50 where neither this nor the next is given
    snapshot_epochs: float | None = Field(None, gt=0)  # the same in passes through the images

    @model_validator(mode="after")
    def _names_are_known(self) -> "Recipe":
        for field, table in CHOICES.items():
            value = attrgetter(field)(self)
            for name in [value] if isinstance(value, str) else value:
                if name not in table:
                    raise ValueError(f"{field}: {table.unknown(name)}")
        return self

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        if self.images.size not in SIZES:
            raise ValueError(f"images.size {self.images.size} cannot be made; sizes are {', '.join(map(str, SIZES))}")
        if self.critic.norm == "batch" and self.objective.penalty:
            # The penalty is about one image; BatchNorm makes its score depend on the others (Gulrajani et al. 2017).
            raise ValueError("critic.norm 'batch' does not go with a gradient penalty; set critic.norm=none")
        build(self.objective)  # raises InputError
        if self.critic.minibatch_std and self.batch % 8:
            raise ValueError("critic.minibatch_std compares groups of 8 images; make batch a multiple of 8")
        for kimg, other in (("picture_kimg", "picture_batches"), ("snapshot_kimg", "snapshot_epochs")):
            if getattr(self, kimg) and getattr(self, other):
                raise ValueError(f"{kimg} and {other} say the same in two units; set {other}=null, or {kimg}")
        return self

    def tick_images(self, total: float | None) -> float:
        """Return how many images are seen between two lines of the log, where the run sees ``total``, if that is known.

        A run that is shorter than the recipe's has curves, too.
        """
        tick = 1000 * self.tick_kimg
        return min(tick, total / FEWEST) if total else tick

    def picture_images(self) -> float:
        """Return how many images are seen between two pictures."""
        if self.picture_batches:
            return float(self.picture_batches * self.batch)
        return 1000 * (self.picture_kimg or PICTURE_KIMG)

    def snapshot_images(self, count: int) -> float:
        """Return how many images are seen between two snapshots, where ``count`` are an epoch."""
        if self.snapshot_epochs:  # five of a few dozen photos are a moment, five of a million images the whole run
            total = 1000 * self.kimg
            return min(max(self.snapshot_epochs * count, total / MOST), total / FEWEST)
        return 1000 * (self.snapshot_kimg or SNAPSHOT_KIMG)


def names() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load(name: str, settings: Iterable[str] = (), **fields: Any) -> Recipe:
    """Read a recipe by name, or from a YAML file of one's own.

    Where the size is changed and ``objective.penalty`` is not, R1's weight follows the square of the size.

    Args:
        name: one of :func:`names`, or the path of a ``.yaml`` file.
        settings: ``key=value`` with dotted keys, the value in YAML.
        **fields: dotted keys (with ``__`` for the dot) that are set where the value is not None.

    Raises:
        InputError: no such recipe, or one whose choices do not fit together.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise InputError(f"there is no recipe {name!r}; recipes are {', '.join(names())}, or the path of a .yaml file")
    try:
        values = _read(path)
        written_for = values["images"].get("size") if isinstance(values.get("images"), dict) else None
        given = [(key.replace("__", "."), value) for key, value in fields.items() if value is not None]
        changes = [*map(_parse, settings), *given]
        for key, value in changes:
            _set(values, key, value)
        recipe = Recipe.model_validate(values)
        return recipe if "objective.penalty" in dict(changes) else _rescale_penalty(recipe, written_for)
    except ValidationError as error:
        raise InputError(f"recipe {name}: {_sentence(error)}") from error


def _rescale_penalty(recipe: Recipe, written_for: int | None) -> Recipe:
    """Return the recipe with a penalty for its size, where it was written for another.

    The same picture at twice the side has four times the pixels, and each moves the score by a quarter: the squared
    norm of the gradient falls by 4, and R1's weight has to rise by as much (Karras et al. 2020, "ADA", appendix C).
    """
    size = recipe.images.size
    if written_for is None or written_for == size or not build(recipe.objective).squared_gradient:
        return recipe
    penalty = float(f"{recipe.objective.penalty * (size / written_for) ** 2:.3g}")
    return recipe.model_copy(update={"objective": recipe.objective.model_copy(update={"penalty": penalty})})


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError) as error:  # ValueError: a date such as 2026-13-13
        raise InputError(f"{path} cannot be read as YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} is no recipe: it must hold fields, as those in {FOLDER} do")
    return values


def _parse(setting: str) -> tuple[str, Any]:
    key, equals, value = setting.partition("=")
    if not equals:
        raise InputError(f"--set {setting} has no '='; write --set key=value, such as --set batch=32")
    try:
        return key.strip(), yaml.safe_load(value)
    except (ValueError, yaml.YAMLError) as error:
        raise InputError(f"--set {setting}: what stands after the '=' is no YAML value") from error


def _set(values: dict[str, Any], key: str, value: Any) -> None:
    *groups, last = key.split(".")
    for group in groups:
        values = values.setdefault(group, {})
        if not isinstance(values, dict):
            raise InputError(f"{key}: {group} holds no other fields")
    values[last] = value


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"there is no field {where}"
    return f"{where}: {first['msg']}" if where else first["msg"].removeprefix("Value error, ")
