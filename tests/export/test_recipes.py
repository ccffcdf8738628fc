"""What export and optimize write of every recipe: traced once, as tracing takes a second or two."""

import functools
from collections.abc import Callable, Iterator

import onnx
import onnxruntime as ort
import pytest
import torch
from torch import nn

from export.batch_norm import fold_batch_norm
from export.float16 import to_float16
from export.graph import Pixels, trace
from export.latent_split import split_latent
from export.subpixel import to_subpixel
from export.verify import verify
from tests.export.test_contract import refusals
from tests.export.test_graph import operators, trained, unfolded
from training import recipe as recipes

SIZE = 32
REWRITINGS: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "as exported": lambda model: model,
    "openvino": lambda model: split_latent(to_subpixel(fold_batch_norm(model))),
    "cuda": to_float16,
}


def _names() -> Iterator[object]:
    """Yield every recipe; of those that share a family of generators, all but the first are slow."""
    known = set()
    for name in recipes.names():
        family = recipes.load(name).generator.family
        yield pytest.param(name, marks=[pytest.mark.slow] if family in known else [])
        known.add(family)


NAMES = list(_names())


@functools.cache
def traced(name: str) -> tuple[nn.Module, onnx.ModelProto, int]:
    """Return the generator of a recipe, its graph and the length of its latents."""
    pixels, latent_dim = Pixels(trained(name, size=SIZE)), recipes.load(name).generator.latent_dim
    return pixels, trace(pixels, latent_dim), latent_dim


def graph(name: str) -> onnx.ModelProto:
    """Return a copy of a recipe's graph."""
    return onnx.load_model_from_string(traced(name)[1].SerializeToString())


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_of_every_recipe_equals_torch_and_has_its_batch_norm_folded(name: str) -> None:
    pixels, model, latent_dim = traced(name)
    assert not unfolded(model)
    assert isinstance(pixels, Pixels)
    verify(model.SerializeToString(), pixels, latent_dim)


@pytest.mark.parametrize("rewriting", REWRITINGS)
@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_and_its_rewrites_pass_the_check(name: str, rewriting: str) -> None:
    assert refusals(REWRITINGS[rewriting](graph(name))) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_has_standard_operators_a_dynamic_batch_and_no_paths_of_this_machine(name: str) -> None:
    _, model, latent_dim = traced(name)
    assert {node.domain for node in model.graph.node} == {""}
    styled = recipes.load(name).generator.family == "styled"  # whose BatchNorm no convolution precedes
    assert not {"Dropout", *(() if styled else ("BatchNormalization",))} & set(operators(model))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    channels = recipes.load(name).images.channels
    for batch in (1, 3, 16):
        (images,) = session.run(None, {"latent": torch.randn(batch, latent_dim).numpy()})
        assert images.shape == (batch, SIZE, SIZE, channels)
        assert images.dtype == "uint8"
    assert b"site-packages" not in model.SerializeToString()
