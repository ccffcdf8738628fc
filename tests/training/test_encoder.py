import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests import command_line, tiny
from training import encoder, project
from training.__main__ import main
from training.differentiable import Generator, open_generator
from training.errors import InputError
from training.metrics.features import random_conv
from training.networks import encoder as networks
from training.perceptual import Perceptual


class Blobs(nn.Module):
    """A generator that is easily inverted: each number of the latent lights a corner of the image."""

    def forward(self, latents: Tensor) -> Tensor:
        corners = torch.tanh(latents).reshape(-1, 1, 2, 2)
        return nn.functional.interpolate(corners, (16, 16), mode="bilinear")


BLOBS = Generator(Blobs(), latent_dim=4, size=16, channels=1)


@pytest.fixture(scope="module")
def trained() -> encoder.Trained:
    return encoder.train(BLOBS, 0.05, 0, lambda line: None)


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


def test_an_encoder_learns_from_photos_too() -> None:
    torch.manual_seed(0)
    drawn = BLOBS(2 * torch.randn(64, 4)).flip(2)  # upside down, these are other pictures than any sample
    pixels = ((drawn + 1) * 127.5).round().to(torch.uint8).numpy()
    photos = encoder.Photos(pixels, Perceptual(random_conv(1, 16)))
    images, features = photos.take(8)
    assert images.shape == (8, 1, 16, 16)
    assert photos.apart(images, features) < photos.apart(images, features.roll(1, dims=0))
    network = networks.encoder(4, 16, 1)
    errors = encoder.losses(network, BLOBS, photos)
    assert errors.photos > 0
    assert errors.features > 0
    assert encoder.losses(network, BLOBS).features == 0
    assert errors.lengths > 0
    errors.features.backward()  # which reaches the encoder through the generator
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in network.parameters())


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
