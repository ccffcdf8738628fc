"""DCGAN generators that nobody trained, made by the real export: they are as fast as trained ones."""

from pathlib import Path

import torch

from export import onnx_file, store
from training import networks
from training import recipe as recipes
from training.images import Report
from training.run import Config, Run

NO_DATA = Report(name="none", source="none", count=0, digest="0" * 64, modes={}, sizes={}, skipped=[])


def build(models: Path, size: int, width: int = 64) -> str:
    """Write ``models/dcgan<size>/1``, of a width and with random weights, and return its name."""
    name, runs = f"dcgan{size}", models.with_name("runs")
    recipe = recipes.load("cats", [f"generator.width={width}"], images__size=size)
    run = Run.create(runs, Config(name=name, recipe=recipe, data="none", seed=0, device="cpu", minutes=None))
    run.write_text("data.json", NO_DATA.model_dump_json())
    run.save_generator(_generator(recipe), recipe, 0)
    data = onnx_file.build(
        run.path, name=name, version=1, licence="CC0-1.0", data_name=None, data_licence="none", metrics=[], directions=0
    )
    store.store(data, models / name / "1")
    return name


def _generator(recipe: recipes.Recipe) -> torch.nn.Module:
    """Return a generator whose BatchNorms have seen one batch: its pixels then differ, as a picture's do."""
    torch.manual_seed(0)
    generator = networks.build_generator(recipe).train()
    for layer in generator.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0
    with torch.no_grad():
        generator(torch.randn(64, recipe.generator.latent_dim))
    return generator
