"""Inception v3 of 2015, from a file that the user passes; only distances over its features are named ``fid``.

The file is the TorchScript version that StyleGAN2-ADA and clean-fid use. It resizes images to 299×299 itself, like the
original. TorchScript contains code: download it from its publisher only.
"""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from training.errors import InputError
from training.metrics.features import Features

NAME = "inception"
SOURCE = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
DIMENSIONS = 2048
BATCH = 32  # at 299×299 the maps of 256 images would be gigabytes


def load(path: Path) -> Features:
    """Return the network in a file.

    Raises:
        InputError: the file does not exist, or is not a TorchScript network from images to 2048 features.
    """
    if not path.is_file():
        raise InputError(f"--inception {path} is not a file; download {SOURCE}")
    try:
        network = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]
        shape = tuple(network(torch.zeros(2, 3, 64, 64, dtype=torch.uint8), return_features=True).shape)
    except RuntimeError as error:
        raise InputError(
            f"--inception {path} is not the TorchScript file of Inception v3 that is at {SOURCE}"
        ) from error
    if shape != (2, DIMENSIONS):
        raise InputError(f"--inception {path} returns features of shape {shape[1:]}; Inception v3 returns {DIMENSIONS}")

    def extract(images: Tensor) -> Tensor:
        levels = ((images + 1) * 127.5).round().to(torch.uint8)  # what the file takes: 0 … 255
        features: Tensor = network(levels.expand(-1, 3, -1, -1), return_features=True)
        return features

    return Features(NAME, hashlib.sha256(path.read_bytes()).hexdigest(), extract, BATCH, origin="the file passed")
