"""A small LeNet, trained on the labelled images: a feature network and classifier for digits.

Training is deterministic on one kind of machine; the weights are cached in the user's cache folder. Scores over its
features (``lenet-fd``) are not FID, and are comparable only for the same digest.
"""

import hashlib
import io
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.errors import TrainingError
from training.files import write_atomically
from training.images import Dataset, Pixels
from training.metrics.features import Features, digest_of, in_batches
from training.metrics.labels import Labels
from training.pictures import to_images

RECIPE = "lenet 2: 28 pixels, Adam 1e-3, batch 128, 3 epochs, 9 in 10 images"  # part of the cache's key
SIZE = 28
BATCH, EPOCHS, MIN_STEPS = 128, 3, 200
TEST_SHARE = 10  # one image in ten is held out


class LeNet(nn.Module):
    """Two convolutions and two dense layers (LeCun et al. 1998), with ReLU and max-pooling."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *(nn.Conv2d(1, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),  # (N, 16, 14, 14)
            *(nn.Conv2d(16, 32, 5), nn.ReLU(), nn.MaxPool2d(2)),  # (N, 32, 5, 5)
            # Standardised, so that all features weigh equally; before the ReLU, so that they are closer to a Gaussian.
            *(nn.Flatten(), nn.Linear(800, 64), nn.BatchNorm1d(64, affine=False)),
        )
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(64, classes))

    def embed(self, images: Tensor) -> Tensor:
        """Map images (N, C, S, S) of any size, grey or RGB, to features (N, 64)."""
        grey = images.mean(dim=1, keepdim=True)
        if grey.shape[-1] != SIZE:
            grey = functional.interpolate(grey, (SIZE, SIZE), mode="bilinear", antialias=True)
        features: Tensor = self.features(grey)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, C, S, S) to logits (N, K)."""
        logits: Tensor = self.head(self.embed(images))
        return logits


@dataclass(frozen=True)
class Classifier:
    """A trained LeNet, and its accuracy on held-out images."""

    lenet: LeNet
    accuracy: float

    def features(self) -> Features:
        """Return the LeNet as a feature network."""
        origin = f"right on {self.accuracy:.2%} of held-out images"
        return Features("lenet", digest_of(self.lenet), self.lenet.embed, origin=origin)

    def probabilities(self, pixels: Pixels) -> NDArray[np.float32]:
        """Return the class probabilities (N, K) of images (N, C, S, S)."""
        probabilities: NDArray[np.float32] = in_batches(self.lenet, pixels).softmax(dim=1).numpy()
        return probabilities


def load_or_train(dataset: Dataset, labels: Labels) -> Classifier:
    """Return the classifier of a labelled set, from the cache or newly trained.

    Args:
        dataset: the images at 28 pixels, grey.
        labels: (N,), from 0.
    """
    key = hashlib.sha256(f"{RECIPE} {dataset.report.digest}".encode() + labels.astype(np.int64).tobytes()).hexdigest()[
        :16
    ]
    path = _cache() / f"lenet-{key}.pt"
    try:
        state = torch.load(path, weights_only=True)
    except (OSError, EOFError, RuntimeError, UnpicklingError):  # missing or damaged
        state = _train(dataset, labels)
        _save(path, state)
    lenet = LeNet(int(labels.max()) + 1)
    lenet.load_state_dict(state["weights"])
    return Classifier(lenet.eval(), state["accuracy"])


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nelumbo"


def _save(path: Path, state: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with suppress(OSError, TrainingError):  # without a cache the next call trains again
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, buffer.getvalue())


def _train(dataset: Dataset, labels: Labels) -> dict[str, Any]:
    """Train on nine images in ten, on one thread, and measure the accuracy on the tenth."""
    order = np.random.RandomState(0).permutation(len(labels))
    test, train = np.split(order, [len(order) // TEST_SHARE])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # the rounding of sums depends on the number of threads
    try:
        lenet = _fit(torch.from_numpy(dataset.images[train]), torch.from_numpy(labels[train].astype(np.int64)))
        guesses = in_batches(lenet, dataset.images[test]).argmax(dim=1).numpy()
    finally:
        torch.set_num_threads(threads)
    return {"weights": lenet.state_dict(), "accuracy": float((guesses == labels[test]).mean())}


def _fit(pixels: Tensor, labels: Tensor) -> LeNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        lenet = LeNet(int(labels.max()) + 1)
        optimiser = torch.optim.Adam(lenet.parameters(), 1e-3)
        for _ in range(max(MIN_STEPS, EPOCHS * len(pixels) // BATCH)):
            batch = torch.randint(len(pixels), (BATCH,))
            loss = functional.cross_entropy(lenet(to_images(pixels[batch])), labels[batch])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return lenet.eval()
