import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from export.__main__ import main
from export.errors import ExportError, InputError
from export.graph import Pixels, trace
from export.refine import WHOLE, add_refiner, refine
from export.sampler import Sampler
from export.serialise import serialise
from export.upgrade import upgrade
from service.contract import Card
from service.contract.graph import check, read_model
from tests import command_line, tiny
from tests.export.test_graph import trained
from training import refine as learning
from training.metrics import efficientnet
from training.metrics.features import random_conv
from training.onnx_generator import OPERATORS, OnnxGenerator
from training.refine import Refiner

COUNT, SIZE = 8, 16


def styled() -> tuple[onnx.ModelProto, Card]:
    """A model of a styled generator that was not trained, with truncation."""
    generator = trained("emoji-best", size=SIZE, generator__latent_dim=SIZE, generator__max_width=16)
    return upgrade(trace(Pixels(generator), SIZE), tiny.card(latent_dim=SIZE, channels=3))


@pytest.fixture(scope="module")
def upgraded() -> tuple[onnx.ModelProto, Card]:
    return styled()


@pytest.fixture(scope="module")
def refiner() -> Refiner:
    torch.manual_seed(0)
    made = Refiner(SIZE)
    torch.nn.init.normal_(made[2].weight, std=0.2)  # type: ignore[arg-type]
    return made.requires_grad_(False)


@pytest.fixture(scope="module")
def refined(upgraded: tuple[onnx.ModelProto, Card], refiner: Refiner) -> onnx.ModelProto:
    return add_refiner(upgraded[0], refiner)


@pytest.fixture
def simple_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """Features that take a hundredth of the time."""
    monkeypatch.setattr(efficientnet, "load", lambda: random_conv(3, SIZE))


def latents(count: int = COUNT, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).randn(count, SIZE).astype(np.float32)


def draw(model: onnx.ModelProto, given: np.ndarray, truncation: float) -> np.ndarray:
    drawn = Sampler(model, SIZE).render(given, truncation=np.full(len(given), truncation, np.float32))
    return drawn.astype(int)


def drawn_by(model: onnx.ModelProto) -> np.ndarray:
    """Images (N, H, W, C) of some latents alone, so that the generator can learn which: those whose first is large."""
    many = latents(2000, seed=5)
    return Sampler(model, SIZE).render(many[many[:, 0] > 1.5])


def write_photos(folder: Path, model: onnx.ModelProto) -> Path:
    folder.mkdir()
    for number, image in enumerate(drawn_by(model)):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


@pytest.mark.parametrize("truncation", [1.0, 1.5])
def test_from_1_on_no_bit_changes(
    upgraded: tuple[onnx.ModelProto, Card], refined: onnx.ModelProto, truncation: float
) -> None:
    assert np.array_equal(draw(refined, latents(), truncation), draw(upgraded[0], latents(), truncation))


@pytest.mark.parametrize(
    ("truncation", "share", "rest"), [(0.85, 0.5, 1.0), (WHOLE, 1.0, 1.0), (WHOLE / 2, 1.0, 0.5), (0.0, 1.0, 0.0)]
)
def test_below_1_a_share_of_the_step_is_made_and_below_the_whole_latents_go_to_the_centre(
    upgraded: tuple[onnx.ModelProto, Card],
    refined: onnx.ModelProto,
    refiner: Refiner,
    truncation: float,
    share: float,
    rest: float,
) -> None:
    moved = latents() + share * refiner(torch.from_numpy(latents())).numpy()
    assert np.abs(draw(refined, latents(), truncation) - draw(upgraded[0], moved, rest)).max() <= 1


def test_an_image_does_not_depend_on_its_batch(refined: onnx.ModelProto) -> None:
    together = draw(refined, latents(), 0.8)
    for one in range(COUNT):
        assert np.array_equal(draw(refined, latents()[one : one + 1], 0.8), together[one : one + 1])


def test_the_file_keeps_the_contract_and_gradients_flow_through_it(
    upgraded: tuple[onnx.ModelProto, Card], refined: onnx.ModelProto
) -> None:
    check(serialise(refined, upgraded[1]), "it")
    given = torch.from_numpy(latents()).requires_grad_()
    images = OnnxGenerator(refined, "it")(given)
    (gradient,) = torch.autograd.grad(images.square().sum(), given)
    assert gradient.abs().sum(dim=1).min() > 0


@pytest.mark.usefixtures("simple_features")
def test_samples_get_nearer_to_photos(upgraded: tuple[onnx.ModelProto, Card]) -> None:
    """The photos are images that the generator itself draws of some latents, so that it can learn which."""
    photos = drawn_by(upgraded[0]).transpose(0, 3, 1, 2)
    said: list[str] = []
    made = refine(*upgraded, photos, samples=800, truncation=0.8, seed=0, say=said.append)
    assert made.after.precision > made.before.precision + 0.05
    assert (made.card.default_truncation, len(said)) == (0.8, 3)


@pytest.mark.usefixtures("simple_features")
def test_a_model_that_gets_no_better_is_not_written(
    upgraded: tuple[onnx.ModelProto, Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "STEPS", 1)  # its refiner has learned nothing
    photos = drawn_by(upgraded[0]).transpose(0, 3, 1, 2)
    with pytest.raises(ExportError):
        refine(*upgraded, photos, samples=500, truncation=0.8, seed=0, say=str)


def test_an_operator_without_gradients_is_refused_in_one_sentence(
    upgraded: tuple[onnx.ModelProto, Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(OPERATORS, "LeakyRelu")
    with pytest.raises(InputError):
        refine(*upgraded, np.zeros((16, 3, SIZE, SIZE), np.uint8), samples=500, truncation=0.8, seed=0, say=str)


def test_what_cannot_be_refined_is_refused(upgraded: tuple[onnx.ModelProto, Card], refined: onnx.ModelProto) -> None:
    model, card = upgraded
    photos = np.zeros((16, 3, SIZE, SIZE), np.uint8)
    plain = tiny.card()
    labelled = card.model_copy(update={"classes": ("a", "b")})
    for graph, described in ((tiny.model(plain), plain), (model, labelled), (refined, card)):
        with pytest.raises(InputError):
            refine(graph, described, photos, samples=500, truncation=0.7, seed=0, say=print)


@pytest.mark.usefixtures("simple_features")
def test_the_command_writes_the_next_version(upgraded: tuple[onnx.ModelProto, Card], tmp_path: Path) -> None:
    model, card = upgraded
    file = tiny.write(tmp_path, card, onnx.load_from_string(serialise(model, card))) / "model.onnx"
    photos = write_photos(tmp_path / "photos", model)
    done = command_line.run(main, "refine", file, "--data", photos, "--samples", "500")
    assert done.returncode == 0, done.stderr
    assert read_model(tmp_path / card.name / "2").card.default_truncation == 0.8
    same = tmp_path / "same"
    same.mkdir()
    for number in range(20):
        shutil.copy(photos / "0.png", same / f"{number}.png")
    for folder in (tmp_path / "nowhere", same):
        refused = command_line.run(main, "refine", file, "--data", folder)
        assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 1)
