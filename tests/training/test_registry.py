"""A new objective, network, augmentation or metric is one registration: toys of each kind are used end to end."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from typer.testing import CliRunner

from docs import tables
from export.onnx_file import build
from tests import DIGITS
from tests.training.conftest import make_trainer, tiny_recipe
from training import __main__ as command_line
from training import evaluate as evaluation
from training import recipe as recipes
from training.augment import AUGMENTATIONS
from training.configs import CriticConfig, GeneratorConfig, ImagesConfig, ObjectiveConfig
from training.errors import InputError
from training.health import FIGURES
from training.images import Pixels
from training.metrics.tables import METRICS, Figures, Measure, Reals
from training.networks import CRITICS, GENERATORS
from training.objectives import OBJECTIVES, Objective
from training.registry import Registry


def hinge(config: ObjectiveConfig) -> Objective:
    """Hinge loss."""
    return Objective(
        lambda real, fake: (1 - real).relu().mean() + (1 + fake).relu().mean(), lambda real, fake: -fake.mean()
    )


class ToyGenerator(nn.Module):
    """Two linear layers, a branch and a constant: nothing that a flat Sequential could be."""

    def __init__(self, latent_dim: int, images: ImagesConfig) -> None:
        super().__init__()
        self.shape = images.channels, images.size, images.size
        self.mapping = nn.Linear(latent_dim, 8)
        self.paint = nn.Linear(8, images.channels * images.size**2)
        nn.init.constant_(self.mapping.weight, 0.125)

    def forward(self, latent: Tensor) -> Tensor:
        style = self.mapping(latent).relu()
        return torch.tanh(self.paint(style + style.mean(dim=1, keepdim=True))).unflatten(1, self.shape)


def toy_generator(config: GeneratorConfig, images: ImagesConfig) -> nn.Module:
    """Dense layers."""
    return ToyGenerator(config.latent_dim, images)


def toy_critic(config: CriticConfig, images: ImagesConfig) -> nn.Module:
    """One dense layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(images.channels * images.size**2, 1), nn.Flatten(0))


augmented: list[int] = []


def toy_augmentation(images: Tensor) -> Tensor:
    """Turned upside down."""
    augmented.append(len(images))
    return images.flip(2)


def brightness(reals: Reals) -> Measure:
    """Mean level."""

    def measure(pixels: Pixels) -> Figures:
        return {"brightness": float(pixels.mean())}

    return measure


TOYS = {
    "objective.name": (OBJECTIVES, hinge),
    "generator.family": (GENERATORS, toy_generator),
    "critic.family": (CRITICS, toy_critic),
    "augment": (AUGMENTATIONS, toy_augmentation),
    "--metric": (METRICS, brightness),
}


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    for table, entry in TOYS.values():
        monkeypatch.setitem(table, "toy", entry)  # type: ignore[arg-type]
    monkeypatch.setitem(FIGURES, "contrast", lambda images, reals: float(images.std()))
    augmented.clear()


@pytest.mark.usefixtures("toys")
def test_one_registration_of_each_kind_trains_exports_and_evaluates(tmp_path: Path) -> None:
    chosen = {"objective__name": "toy", "generator__family": "toy", "critic__family": "toy", "augment": "[toy]"}
    recipe = tiny_recipe(**chosen, objective__penalty="0")
    trainer = make_trainer(tmp_path, recipe)
    assert trainer.gan.generator.mapping.weight.unique().tolist() == [0.125]  # its own initialisation stands
    assert trainer.train()
    assert augmented
    assert "contrast" in (trainer.run.path / "log.jsonl").read_text()
    words = {"name": "toy", "version": 1, "licence": "none", "data_name": None, "data_licence": "none", "metrics": []}
    model = tmp_path / "model.onnx"
    model.write_bytes(build(trainer.run.path, **words))
    for path in (trainer.run.path, model):
        scores = {score.name: score for score in evaluation.evaluate(path, DIGITS, 32, metrics=["toy"]).scores}
        assert 0 < scores["brightness"].value < 255
        assert scores.keys() == {"brightness", "nearest", "copies"}


@pytest.mark.usefixtures("toys")
def test_the_tables_of_the_docs_and_the_help_hold_what_is_registered() -> None:
    rows = [row[:2] for row in tables.choices()]
    values = {row[0]: row[1] for row in tables.recipe()}
    for field in TOYS:
        assert [f"`{field}`", "`toy`"] in rows
        assert field == "--metric" or "toy" in values[f"`{field}`"]
    assert set(recipes.CHOICES) <= TOYS.keys()


def test_the_help_names_the_choices() -> None:
    shown = CliRunner().invoke(command_line.app, ["train", "--help"], env={"COLUMNS": "400"}).stdout
    assert all(name in shown for table in recipes.CHOICES.values() for name in table)


@pytest.mark.parametrize("setting", ["objective.name", "generator.family", "critic.family", "augment"])
def test_an_unknown_name_is_an_error_that_lists_the_known_ones(setting: str) -> None:
    value = "[roses]" if setting == "augment" else "roses"
    with pytest.raises(InputError) as refused:
        recipes.load("digits-best", [f"{setting}={value}"])
    assert all(name in str(refused.value) for name in (setting, "'roses'", *recipes.CHOICES[setting]))


def test_an_unknown_metric_is_an_error_that_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        evaluation.evaluate(tmp_path, DIGITS, 32, metrics=["roses"])
    assert all(name in str(refused.value) for name in METRICS)


@pytest.mark.usefixtures("toys")
def test_a_penalty_that_the_objective_does_not_have_is_refused() -> None:
    with pytest.raises(InputError) as refused:
        tiny_recipe(objective__name="toy", objective__penalty="1")
    assert "objective.penalty" in str(refused.value)


@pytest.mark.parametrize("table", [*recipes.CHOICES.values(), METRICS], ids=lambda table: table.kind)
def test_every_entry_says_what_it_is(table: Registry[object]) -> None:
    assert all(table.description(name).endswith(".") for name in table)
