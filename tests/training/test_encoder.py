import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from tests import command_line, tiny
from training import encoder, project
from training.__main__ import main
from training.differentiable import Generator, open_generator
from training.errors import InputError
from training.metrics import efficientnet
from training.metrics.efficientnet import EfficientNetLite2
from training.networks import encoder as networks
from training.pictures import to_images


class Blobs(nn.Module):
    """A generator that is easily inverted: each number of the latent lights a corner of the image."""

    def forward(self, latents: Tensor) -> Tensor:
        corners = torch.tanh(latents).reshape(-1, 1, 2, 2)
        return nn.functional.interpolate(corners, (16, 16), mode="bilinear")


BLOBS = Generator(Blobs(), latent_dim=4, size=16, channels=1)


def clock(steps: int) -> Callable[[], float]:
    """Return a clock by which so many steps take a minute: it is read twice in each."""
    reads = itertools.count()
    return lambda: 30 * next(reads) / steps


@pytest.fixture(scope="module")
def trained() -> encoder.Trained:
    return encoder.train(BLOBS, 1, 0, lambda line: None, clock=clock(100))


def test_an_encoder_learns_the_latents_of_samples_that_it_has_not_seen(trained: encoder.Trained) -> None:
    torch.manual_seed(1)
    latents = torch.randn(64, 4)
    errors = (trained.network(BLOBS(latents)) - latents).square().mean()
    assert errors < 0.5  # 1 would be the error of zeros
    assert trained.images_seen > 0


def test_an_encoder_is_the_same_after_it_was_saved(trained: encoder.Trained, tmp_path: Path) -> None:
    trained.save(tmp_path / "encoder.pt")
    again = encoder.load(tmp_path / "encoder.pt")
    images = torch.randn(2, 1, 16, 16)
    torch.testing.assert_close(again.network(images), trained.network(images))
    assert (again.latent_dim, again.images_seen) == (4, trained.images_seen)


@pytest.fixture(scope="module")
def pictures() -> NDArray[np.uint8]:
    torch.manual_seed(0)
    drawn = BLOBS(2 * torch.randn(64, 4)).flip(2)  # upside down, these are other pictures than any sample
    return ((drawn + 1) * 127.5).round().to(torch.uint8).numpy()


def test_an_encoder_learns_from_photos(pictures: NDArray[np.uint8]) -> None:
    lesson = encoder.Photos(BLOBS, pictures)
    before = {name: tensor.clone() for name, tensor in lesson.network.state_dict().items()}
    lesson.errors()["features"].backward()  # which reaches the encoder through the generator
    trained = dict(lesson.network.named_parameters())
    assert all(trained[name].grad is not None for name in trained if name.startswith(("narrow", "head")))
    learnt = encoder.train(BLOBS, 1, 0, lambda line: None, pictures, clock=clock(20)).network
    frozen = [name for name in before if name.startswith(("stem", "blocks"))]
    assert all(torch.equal(learnt.state_dict()[name], before[name]) for name in frozen)
    assert _apart(learnt, pictures) < 0.7 * _apart(lesson.network.eval(), pictures)


def _apart(network: nn.Module, pictures: NDArray[np.uint8]) -> float:
    """Return the mean square difference of what is drawn of the estimates."""
    images = to_images(torch.from_numpy(pictures))
    with torch.no_grad():
        return float((BLOBS(encoder.on_shell(network(images))) - images).square().mean())


def test_maps_of_mirrored_photos_belong_to_these(pictures: NDArray[np.uint8]) -> None:
    lesson = encoder.Photos(BLOBS, pictures[:4])
    for mirrored, (maps, glances) in enumerate(lesson.maps):
        images = to_images(lesson.pixels).flip(3) if mirrored else to_images(lesson.pixels)
        expected = lesson.encoder.maps(images)
        torch.testing.assert_close((maps.float(), glances.float()), expected, rtol=0.01, atol=0.01)


@pytest.mark.parametrize(("size", "channels"), [(16, 1), (28, 1), (64, 3), (256, 3)])
def test_a_photo_encoder_takes_images_of_any_size_and_is_the_same_after_it_was_saved(
    tmp_path: Path, size: int, channels: int
) -> None:
    network = networks.PhotoEncoder(4, EfficientNetLite2()).eval()
    encoder.Trained(network, 4, size, channels, 24).save(tmp_path / "encoder.pt")
    images = torch.rand(2, channels, size, size) * 2 - 1
    found = encoder.load(tmp_path / "encoder.pt").network(images)
    assert found.shape == (2, 4)
    torch.testing.assert_close(found, network(images))


def test_without_the_network_no_encoder_learns_from_photos(
    pictures: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(efficientnet, "load_network", lambda: None)
    with pytest.raises(InputError, match=efficientnet.PACKAGE):
        encoder.Photos(BLOBS, pictures)


def test_an_encoder_goes_on_from_another_of_its_kind(trained: encoder.Trained, pictures: NDArray[np.uint8]) -> None:
    further = encoder.train(BLOBS, 1, 0, lambda line: None, start=trained, clock=clock(2))
    assert further.images_seen > trained.images_seen
    torch.manual_seed(1)
    latents = torch.randn(64, 4)
    assert (further.network(BLOBS(latents)) - latents).square().mean() < 0.5  # what a new one needs seconds for
    with pytest.raises(InputError):
        encoder.train(BLOBS, 1, 0, lambda line: None, pictures, start=trained)


def test_an_encoder_of_a_model_with_classes_takes_no_photos(tmp_path: Path) -> None:
    file = tiny.write(tmp_path, tiny.conditional()) / "model.onnx"
    done = command_line.run(main, "encoder", file, "--data", tmp_path, "--minutes", "0.01", "--out", tmp_path / "e.pt")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert not (tmp_path / "e.pt").exists()


@pytest.mark.parametrize("content", [b"", b"no file of torch"])
def test_another_file_is_no_encoder(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "encoder.pt").write_bytes(content)
    with pytest.raises(InputError):
        encoder.load(tmp_path / "encoder.pt")


@pytest.mark.slow
def test_gradients_find_the_latent_of_an_image() -> None:
    torch.manual_seed(0)
    latent = encoder.on_shell(torch.tensor([[1.0, -1.0, 0.5, -0.5]]))
    photo = ((BLOBS(latent) + 1) * 127.5).round().to(torch.uint8)[0].numpy()
    found = project.project(BLOBS, photo, 60)
    assert np.abs(found.latent - latent.numpy()[0]).max() < 0.3
    assert np.abs(found.image.astype(int) - photo).mean() < 8


def test_both_commands_work_on_a_model_file(tmp_path: Path) -> None:
    file = tiny.write(tmp_path) / "model.onnx"
    pt, out, photos = tmp_path / "encoder.pt", tmp_path / "projected.png", tmp_path / "photos"
    photos.mkdir()
    for level in range(16):
        Image.new("L", (20, 20), 10 * level).save(photos / f"{level}.png")
    done = command_line.run(main, "encoder", file, "--minutes", "0.02", "--data", photos, "--out", pt)
    assert done.returncode == 0, done.stderr
    Image.new("L", (40, 30), 200).save(tmp_path / "photo.png")
    done = command_line.run(
        main, "project", file, tmp_path / "photo.png", "--steps", "3", "--encoder", pt, "--out", out
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(out).size == (32, 16)
    assert len(json.loads(out.with_suffix(".json").read_text())["latent"]) == 8


def test_a_model_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError):
        open_generator(Path("missing.onnx"))
