from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
import torch
from torch import nn

from export.__main__ import main
from service.contract.encoder import ENCODER_FILE
from service.contract.files import read_verified
from service.contract.graph import check_encoder
from tests import command_line, tiny
from training.encoder import Trained
from training.metrics.efficientnet import EfficientNetLite2
from training.networks.encoder import PhotoEncoder, encoder


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.write(tmp_path) / "model.onnx"


def saved(path: Path, latent_dim: int = 8, network: nn.Module | None = None) -> Path:
    torch.manual_seed(0)
    network = network or encoder(latent_dim, 16, 1)
    Trained(network, latent_dim, 16, 1, images_seen=64).save(path / "encoder.pt")
    return path / "encoder.pt"


@pytest.mark.slow
@pytest.mark.parametrize("photos", [False, True])
def test_an_encoder_is_stored_beside_its_model_with_its_error_in_its_card(
    model: Path, tmp_path: Path, photos: bool
) -> None:
    network = PhotoEncoder(8, EfficientNetLite2()) if photos else None
    done = command_line.run(main, "encoder", saved(tmp_path, network=network), model)
    assert done.returncode == 0, done.stderr
    read = read_verified(model.parent, ENCODER_FILE)
    card = check_encoder(read.data, "it")
    assert card.source == read_verified(model.parent).digest
    assert (card.samples, card.images_seen) == (256, 64)
    assert card.error > 0
    session = ort.InferenceSession(read.data, providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        (latents,) = session.run(None, {"image": np.zeros((batch, 16, 16, 1), np.uint8)})
        assert (latents.shape, latents.dtype) == ((batch, 8), np.float32)


def test_an_encoder_of_another_model_is_refused(model: Path, tmp_path: Path) -> None:
    done = command_line.run(main, "encoder", saved(tmp_path, latent_dim=9), model)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert not (model.parent / ENCODER_FILE).exists()
