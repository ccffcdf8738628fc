from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training.errors import InputError
from training.metrics import inception

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 3, 16, 16), dtype=np.uint8)


class Stand(nn.Module):
    """A network with the interface of the published file: uint8 RGB of any size -> 2048 features or probabilities."""

    def __init__(self, features: int = inception.DIMENSIONS) -> None:
        super().__init__()
        self.head = nn.Linear(3 * 8 * 8, features)

    def forward(self, images: Tensor, return_features: bool = False) -> Tensor:
        assert images.dtype == torch.uint8
        assert images.shape[1] == 3
        features = self.head(nn.functional.adaptive_avg_pool2d(images.float(), (8, 8)).flatten(1))
        return features if return_features else features.softmax(1)


def write(path: Path, network: nn.Module) -> Path:
    """Save random weights as TorchScript; the published file may not be redistributed."""
    torch.jit.script(network).save(path)
    return path


def test_features_are_those_of_the_network_in_the_file(tmp_path: Path) -> None:
    stand = Stand()
    seen = inception.load(write(tmp_path / "inception.pt", stand))
    torch.testing.assert_close(seen(PIXELS), stand(torch.from_numpy(PIXELS), return_features=True))
    assert seen.name == "inception"


def test_grey_images_are_expanded_to_three_channels(tmp_path: Path) -> None:
    seen = inception.load(write(tmp_path / "inception.pt", Stand()))
    torch.testing.assert_close(seen(PIXELS[:, :1]), seen(PIXELS[:, [0, 0, 0]]))


def test_other_weights_have_another_digest(tmp_path: Path) -> None:
    files = [write(tmp_path / name, Stand()) for name in ("a.pt", "b.pt")]
    assert inception.load(files[0]).digest == inception.load(files[0]).digest != inception.load(files[1]).digest


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("hello")
    torch.save(Stand().state_dict(), tmp_path / "weights.pth")
    write(tmp_path / "other.pt", nn.Linear(2, 2))
    for name in ("text.pt", "weights.pth", "other.pt"):
        with pytest.raises(InputError, match=r"is not the TorchScript file of Inception v3 that is at https://"):
            inception.load(tmp_path / name)
    with pytest.raises(InputError, match="is not a file; download https://"):
        inception.load(tmp_path / "nothing.pt")
    with pytest.raises(InputError, match=r"returns features of shape \(7,\); Inception v3 returns 2048"):
        inception.load(write(tmp_path / "small.pt", Stand(7)))
