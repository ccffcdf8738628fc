import numpy as np
import torch

from training.metrics.features import random_conv

PIXELS = np.random.default_rng(0).integers(0, 256, (300, 3, 32, 32), dtype=np.uint8)


def test_the_random_network_is_the_same_every_time_whatever_the_seed() -> None:
    first = random_conv(3, 32)
    torch.manual_seed(1)
    second = random_conv(3, 32)
    assert first.digest == second.digest
    assert torch.equal(first(PIXELS), second(PIXELS))


def test_the_features_of_an_image_do_not_depend_on_its_batch() -> None:
    features = random_conv(3, 32)
    torch.testing.assert_close(features(PIXELS)[290:], features(PIXELS[290:]))
    assert features(PIXELS).shape == (300, 64)
    assert random_conv(1, 28)(PIXELS[:, :1, :28, :28]).shape == (300, 64)


def test_images_of_another_shape_have_another_network_and_digest() -> None:
    assert len({random_conv(channels, size).digest for channels in (1, 3) for size in (32, 64)}) == 4
