import pytest
import torch
from torch.nn import functional

from training.metrics import efficientnet
from training.metrics.efficientnet import ConvNorm, EfficientNetLite2


@pytest.fixture(scope="module")
def features() -> efficientnet.Features:
    found = efficientnet.load()
    assert found is not None, "the wheel is in the train extra"
    return found


def test_the_network_has_the_published_number_of_parameters() -> None:
    count = sum(weight.numel() for weight in EfficientNetLite2().parameters())
    assert round(count / 1e6, 1) == 6.1  # of EfficientNet-Lite2, as its authors' table says


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_size_and_colour_have_1280_features(features: efficientnet.Features, channels: int) -> None:
    pixels = torch.randint(0, 256, (2, channels, 32, 32), dtype=torch.uint8).numpy()
    assert features(pixels).shape == (2, 1280)


def test_an_image_has_the_same_features_alone_and_among_others(features: efficientnet.Features) -> None:
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8).numpy()
    torch.testing.assert_close(features(pixels)[1:2], features(pixels[1:2]), rtol=1e-3, atol=1e-3)


def test_features_of_one_object_are_nearer_than_those_of_another(features: efficientnet.Features) -> None:
    shapes = torch.full((4, 3, 64, 64), 255, dtype=torch.uint8)
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    for image, (centre, radius) in zip(shapes, [(30, 20), (34, 20), (30, 20), (34, 20)], strict=True):
        distance = ((y - centre) ** 2 + (x - centre) ** 2).sqrt()
        image[:, distance < radius] = 40
    shapes[2:, :, 20:44, 20:44] = torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8)
    discs = features(shapes.numpy())
    near = functional.cosine_similarity(discs[0], discs[1], dim=0)
    far = functional.cosine_similarity(discs[0], discs[2], dim=0)
    assert near > far


@pytest.mark.parametrize(("side", "padded_at_the_end"), [(8, True), (7, False)])
def test_padding_is_tensorflows(side: int, padded_at_the_end: bool) -> None:
    layer = ConvNorm(1, 1, 3, stride=2, relu=False).eval()
    torch.nn.init.zeros_(layer.conv.weight)
    layer.conv.weight.data[0, 0, 0, 0] = (1 + efficientnet.EPSILON) ** 0.5  # what is seen: the window's first pixel
    x = torch.arange(side * side, dtype=torch.float32).reshape(1, 1, side, side) + 1
    y = layer(x)
    assert y.shape == (1, 1, 4, 4)
    assert bool(y[0, 0, 0, 0] == 1) == padded_at_the_end
