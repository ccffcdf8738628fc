"""Figures of each class: whether a classifier reads its samples as it, and how far they are from its real images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.classes import Labels
from training.images import Pixels
from training.metrics.distances import kernel
from training.metrics.lenet import Classifier

FEWEST = 8  # images of a class, for a distance


@dataclass(frozen=True)
class Labelled:
    """Images of which the class is known: of samples, the one that was asked for."""

    pixels: Pixels  # (N, C, S, S)
    labels: Labels  # (N,)


@dataclass(frozen=True)
class ClassScore:
    """The figures of one class."""

    name: str
    samples: int
    asked: float  # share of samples that are read as this class
    real: float  # the same of its real images
    distance: float | None  # kernel distance of samples to real images; None where there are too few


def score(classifier: Classifier, names: Sequence[str], samples: Labelled, reals: Labelled) -> list[ClassScore]:
    """Return the figures of every class of which there are samples."""
    right, real_right = (_read_right(classifier, part) for part in (samples, reals))
    features = classifier.features()
    drawn, real = features(samples.pixels), features(reals.pixels)  # (N, D), (M, D)
    scores = []
    for label, name in enumerate(names):
        mine, theirs = (np.flatnonzero(part.labels == label) for part in (samples, reals))
        enough = min(len(mine), len(theirs)) >= FEWEST
        if not len(mine):
            continue
        chosen = real[torch.from_numpy(theirs)], drawn[torch.from_numpy(mine)]
        distance = kernel(*chosen) if enough else None
        share = float(real_right[theirs].mean()) if len(theirs) else 0.0
        scores.append(ClassScore(name, len(mine), float(right[mine].mean()), share, distance))
    return scores


def _read_right(classifier: Classifier, images: Labelled) -> NDArray[np.bool_]:
    """Return for each image whether the classifier reads it as its class, (N,)."""
    right: NDArray[np.bool_] = classifier.probabilities(images.pixels).argmax(axis=1) == images.labels
    return right
