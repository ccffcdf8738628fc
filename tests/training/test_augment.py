import pytest
import torch
from torch import Tensor

from training.augment import AUGMENTATIONS, augment, colour, cutout, translation


def photos(channels: int = 3) -> Tensor:
    return torch.rand(16, channels, 32, 24, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_gradient_pass_through(name: str, channels: int) -> None:
    images = photos(channels).requires_grad_(True)
    augmented = augment(images, [name])
    assert augmented.shape == images.shape
    assert not torch.equal(augmented, images)
    augmented.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_image_is_changed_by_a_draw_of_its_own(name: str) -> None:
    copies = photos()[:1].expand(16, -1, -1, -1)
    augmented = augment(copies, [name])
    assert len({tuple(image.flatten().tolist()) for image in augmented}) > 8


def test_translation_moves_pixels_without_changing_them_and_fills_with_grey() -> None:
    images = photos()
    for before, after in zip(images, translation(images), strict=True):
        assert any(
            torch.equal(after, shifted(before, dy, dx)) for dy in range(-4, 5) for dx in range(-3, 4)
        )  # an eighth of 32 and of 24


def shifted(image: Tensor, dy: int, dx: int) -> Tensor:
    """The image (C, H, W) whose pixel (y, x) is the old (y + dy, x + dx), or 0."""
    out = torch.zeros_like(image)
    height, width = image.shape[1:]
    for y in range(height):
        for x in range(width):
            if 0 <= y + dy < height and 0 <= x + dx < width:
                out[:, y, x] = image[:, y + dy, x + dx]
    return out


def test_cutout_blanks_at_most_a_quarter_and_leaves_the_rest() -> None:
    images = photos()
    cut = cutout(images)
    blank = (cut == 0).all(dim=1)
    assert torch.equal(cut[~blank[:, None].expand_as(cut)], images[~blank[:, None].expand_as(cut)])
    shares = blank.float().mean(dim=(1, 2))
    assert shares.max() <= 0.25 + 1e-6
    assert shares.min() > 0.05


def test_colour_keeps_shapes_of_things_and_grey_grey() -> None:
    grey = photos(1).expand(-1, 3, -1, -1)
    changed = colour(grey)
    torch.testing.assert_close(changed[:, 0], changed[:, 2])
    order = grey[0, 0].flatten().argsort()
    assert (changed[0, 0].flatten()[order].diff() >= -1e-6).all()  # contrast is positive: what was lighter stays so


def test_no_augmentation_is_the_image_itself() -> None:
    images = photos()
    assert augment(images, ()) is images
