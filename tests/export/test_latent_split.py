import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import helper

from export.graph import Pixels, trace
from export.latent_split import BOTH, split_latent
from export.sampler import Sampler
from export.subpixel import to_subpixel
from export.upgrade import upgrade
from tests import tiny
from tests.export.test_graph import trained
from training import recipe as recipes


def bfloat16(values: np.ndarray) -> np.ndarray:
    return torch.from_numpy(values).bfloat16().float().numpy()


@pytest.fixture(scope="module")
def split() -> onnx.ModelProto:
    """The tiny model with a split latent, which it also returns as an output."""
    model = split_latent(to_subpixel(tiny.model(tiny.card())))
    model.graph.output.append(helper.make_tensor_value_info(BOTH, onnx.TensorProto.FLOAT, ["N", 16]))
    return model


@given(latents=arrays.arrays(np.float32, (3, 8), elements=st.floats(-15, 15, width=32)))
@settings(deadline=None)
def test_coarse_and_fine_add_up_to_the_latent_and_are_exact_in_bfloat16(
    split: onnx.ModelProto, latents: np.ndarray
) -> None:
    coarse, fine = np.split(tiny.run(split, BOTH, latent=latents), 2, axis=1)
    np.testing.assert_array_equal(coarse + fine, latents)
    np.testing.assert_array_equal(bfloat16(coarse), coarse)
    kept = coarse.astype(np.float64) + bfloat16(fine)
    np.testing.assert_allclose(kept, latents, atol=2.0**-13, rtol=0)  # bfloat16 alone would be off by up to 2**-5


@pytest.mark.slow
def test_a_generator_whose_first_layer_is_dense_gives_the_same_images() -> None:
    latent_dim = recipes.load("digits").generator.latent_dim
    model = trace(Pixels(trained("digits")), latent_dim)
    rewritten = split_latent(model)
    assert BOTH in {output for node in rewritten.graph.node for output in node.output}
    latents = np.random.default_rng(0).normal(size=(5, latent_dim)).astype(np.float32)
    expected, drawn = (tiny.run(one, "image", latent=latents).astype(int) for one in (model, rewritten))
    assert np.abs(expected - drawn).max() <= 1


def test_an_unsupported_first_layer_is_unchanged() -> None:
    model = tiny.model(tiny.card())  # its transposed convolution was not rewritten
    assert split_latent(model) == model
    model.graph.node.insert(0, helper.make_node("Neg", ["latent"], ["negative"]))
    model.graph.node[1].input[0] = "negative"
    assert split_latent(model) == model


def test_directions_move_the_split_latent_as_they_move_the_latent() -> None:
    model, _ = upgrade(to_subpixel(tiny.model(tiny.card())), tiny.card(), 3)
    rewritten = split_latent(model)
    assert BOTH in {output for node in rewritten.graph.node for output in node.output}
    for amounts in (np.zeros((5, 3), np.float32), np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32)):
        expected, drawn = (Sampler(one, 8).draw(range(5), amounts).astype(int) for one in (model, rewritten))
        assert np.abs(expected - drawn).max() <= 1
