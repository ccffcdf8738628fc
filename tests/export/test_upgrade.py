from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from export.entries import find_entries
from export.errors import InputError
from export.graph import Pixels, trace
from export.sampler import Sampler
from export.serialise import serialise
from export.upgrade import upgrade
from service.contract import INPUT, Card
from service.contract.graph import check
from tests import tiny
from tests.export.test_graph import trained
from training.networks.styled import StyledGenerator, on_sphere
from training.onnx_generator import OnnxGenerator

SEEDS = range(8)


@pytest.fixture(scope="module")
def styled() -> StyledGenerator:
    generator = trained("emoji-best", size=16, generator__latent_dim=16, generator__max_width=16)
    assert isinstance(generator, StyledGenerator)
    return generator


@pytest.fixture(scope="module")
def traced(styled: StyledGenerator) -> onnx.ModelProto:
    return trace(Pixels(styled), 16)


@pytest.fixture(scope="module")
def upgraded(traced: onnx.ModelProto) -> tuple[onnx.ModelProto, Card]:
    return upgrade(traced, tiny.card(latent_dim=16, channels=3))


def of(model: onnx.ModelProto) -> Sampler:
    return Sampler(model, 16)


def test_the_entries_of_a_styled_generator_are_the_sphere_and_the_style(traced: onnx.ModelProto) -> None:
    sphere, style = find_entries(traced)
    assert (sphere.style, len(sphere.layers)) == (False, 1)
    assert (style.style, len(style.layers)) == (True, 3)


def test_the_entry_of_a_dcgan_is_its_latent() -> None:
    (entry,) = find_entries(tiny.model(tiny.card()))
    assert (entry.value, entry.layers, entry.style) == (INPUT, ["drawn"], False)


def test_what_is_off_changes_no_bit(traced: onnx.ModelProto, upgraded: tuple[onnx.ModelProto, Card]) -> None:
    assert np.array_equal(of(upgraded[0]).draw(SEEDS), of(traced).draw(SEEDS))


def test_the_card_says_what_was_added_and_the_file_keeps_the_contract(
    upgraded: tuple[onnx.ModelProto, Card],
) -> None:
    card = check(serialise(*upgraded), "it")
    assert card.truncation
    assert [one.name for one in card.directions] == [str(i) for i in range(16)]
    assert all(1 <= one.range <= 9 for one in card.directions)


def test_truncation_draws_towards_the_mean_style_and_the_middle_of_the_sphere(
    styled: StyledGenerator, upgraded: tuple[onnx.ModelProto, Card]
) -> None:
    latents = torch.from_numpy(np.stack([np.random.RandomState(seed).randn(16) for seed in SEEDS]).astype(np.float32))
    z = on_sphere(latents)
    many = torch.from_numpy(np.random.RandomState(0).randn(10_000, 16).astype(np.float32))
    mean = styled.mapping(on_sphere(many)).mean(dim=0)
    for amount in (0.0, 0.5):
        wanted = styled.synthesise(amount * z, mean.lerp(styled.mapping(z), amount))
        expected = ((wanted + 1) * 127.5).round().permute(0, 2, 3, 1).numpy()
        drawn = of(upgraded[0]).draw(SEEDS, truncation=np.full(8, amount, np.float32))
        assert np.abs(drawn - expected).max() <= 1


def test_directions_are_orthogonal_and_each_changes_the_images(upgraded: tuple[onnx.ModelProto, Card]) -> None:
    sampler = of(upgraded[0])
    still = sampler.draw(SEEDS).astype(int)
    changes = [np.abs(sampler.draw_moved(SEEDS, row) - still).mean() for row in np.eye(16, dtype=np.float32)]
    assert min(changes) > 1
    added = {one.name: onnx.numpy_helper.to_array(one) for one in upgraded[0].graph.initializer}
    for name, vectors in added.items():
        if name.endswith(".directions"):
            own = vectors[np.abs(vectors).sum(axis=1) > 0].astype(float)
            lengths = np.linalg.norm(own, axis=1)
            products = own @ own.T / np.outer(lengths, lengths)
            np.testing.assert_allclose(products, np.eye(len(own)), atol=1e-5)


def test_a_dcgan_gets_directions_and_no_truncation() -> None:
    model, card = upgrade(tiny.model(tiny.card()), tiny.card(), 4)
    assert (card.truncation, len(card.directions), card.schema_number) == (False, 4, 2)
    check(serialise(model, card), "it")


def test_without_directions_a_dcgan_stays_as_it_is() -> None:
    model, card = upgrade(tiny.model(tiny.card()), tiny.card(), 0)
    assert (card.schema_number, [value.name for value in model.graph.input]) == (1, [INPUT])


def test_a_model_is_not_upgraded_twice(upgraded: tuple[onnx.ModelProto, Card]) -> None:
    with pytest.raises(InputError):
        upgrade(*upgraded)


def test_gradients_flow_through_the_file_as_through_the_network(
    styled: StyledGenerator, upgraded: tuple[onnx.ModelProto, Card], tmp_path: Path
) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(serialise(*upgraded))
    latents = torch.randn(4, 16, requires_grad=True)
    read = OnnxGenerator.read(file)(latents)
    drawn = styled(latents)
    assert (read - drawn).abs().max() < 1.5 / 127.5  # it is rounded to levels
    (found,), (wanted,) = (
        torch.autograd.grad(images.square().sum(), latents, retain_graph=True) for images in (read, drawn)
    )
    torch.testing.assert_close(found, wanted, rtol=0.1, atol=0.1 * float(wanted.abs().max()))
