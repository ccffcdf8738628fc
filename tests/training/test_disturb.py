import torch

from training.disturb import disturb


def test_images_keep_their_shape_and_stay_recognisable() -> None:
    torch.manual_seed(0)
    images = torch.nn.functional.interpolate(torch.rand(32, 3, 4, 4) * 2 - 1, (32, 32), mode="bicubic")
    changed = disturb(images)
    assert changed.shape == images.shape
    apart = (changed[:, None] - images[None]).square().mean(dim=(2, 3, 4))
    assert (apart.argmin(dim=1) == torch.arange(32)).all()  # each is nearest to the one it was
    assert (apart.diagonal() > 0).all()


def test_no_image_is_changed_like_another() -> None:
    torch.manual_seed(0)
    changed = disturb(torch.zeros(1, 1, 16, 16).expand(8, 1, 16, 16).clone())
    assert len({tuple(one.flatten().tolist()) for one in changed}) == 8


def test_gradients_flow_through() -> None:
    images = torch.rand(2, 3, 16, 16, requires_grad=True)
    disturb(images).sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
