"""A generator with classes becomes a model file of schema 2."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from export.errors import ExportError
from export.graph import Pixels, trace
from export.onnx_file import build
from export.verify import verify
from service.contract.graph import check
from tests.export.test_graph import randomise_statistics
from tests.training.conftest import make_trainer, tiny_recipe
from training import networks
from training.metrics.samples import open_sampler
from training.networks import GENERATORS

CLASSES = 9


FAMILIES = [pytest.param(name, marks=[] if name == "upsample" else [pytest.mark.slow]) for name in GENERATORS]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_graph_of_every_family_equals_torch_in_several_classes(family: str) -> None:
    torch.manual_seed(0)
    generator = networks.build_generator(tiny_recipe(generator__family=family), CLASSES)
    pixels = Pixels(randomise_statistics(generator))
    model = trace(pixels, 16, classes=True)
    assert [value.name for value in model.graph.input] == ["latent", "label"]
    verify(model.SerializeToString(), pixels, 16, CLASSES)


@pytest.mark.slow
def test_a_run_with_classes_becomes_a_model_file_that_names_them(tmp_path: Path) -> None:
    recipe = tiny_recipe(generator__family="styled", kimg="0.08")
    run = make_trainer(tmp_path, recipe, classes="idx")
    run.train()
    words: Any = {
        "name": "x",
        "version": 1,
        "licence": "none",
        "data_name": None,
        "data_licence": "none",
        "metrics": [],
    }
    path = tmp_path / "model.onnx"
    path.write_bytes(build(run.run.path, **words))
    card = check(path.read_bytes(), "it")
    assert card.classes == tuple("0123456789")
    assert card.schema_number == 2
    drawn, traced = open_sampler(run.run.path), open_sampler(path)
    assert traced.classes == drawn.classes == card.classes
    np.testing.assert_allclose(traced.draw(20).astype(int), drawn.draw(20).astype(int), atol=1)
    session = ort.InferenceSession(path)
    feeds = {"latent": np.zeros((1, 16), np.float32), "label": np.array([10])}
    feeds |= {value.name: np.zeros((1, *value.shape[1:]), np.float32) for value in session.get_inputs()[2:]}
    with pytest.raises(ort.capi.onnxruntime_pybind11_state.InvalidArgument):
        session.run(None, feeds)


class Deaf(nn.Module):
    """A generator that does not hear its class, but that class 3 is a little brighter."""

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return (latents[:, :16] + (labels == 3)[:, None] * 0.1).reshape(-1, 1, 4, 4)


def test_a_generator_that_does_not_hear_its_class_is_refused() -> None:
    pixels = Pixels(Deaf())
    model = trace(pixels, 16, classes=True)
    onnx.checker.check_model(model)
    with pytest.raises(ExportError):
        verify(model.SerializeToString(), pixels, 16, CLASSES)
