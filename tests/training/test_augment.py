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


def test_translation_moves_pixels_without_changing_them_and_repeats_the_edge() -> None:
    images = photos()
    for before, after in zip(images, translation(images), strict=True):
        assert any(
            torch.equal(after, shifted(before, dy, dx)) for dy in range(-4, 5) for dx in range(-3, 4)
        )  # an eighth of 32 and of 24


def test_translation_of_a_plain_picture_has_no_frame() -> None:
    plain = torch.full((8, 3, 32, 24), 0.7)
    assert torch.equal(translation(plain), plain)


def shifted(image: Tensor, dy: int, dx: int) -> Tensor:
    """The image (C, H, W) whose pixel (y, x) is the old (y + dy, x + dx), or the one of the edge nearest to it."""
    height, width = image.shape[1:]
    rows = (torch.arange(height) + dy).clamp(0, height - 1)
    columns = (torch.arange(width) + dx).clamp(0, width - 1)
    return image[:, rows][:, :, columns]


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
