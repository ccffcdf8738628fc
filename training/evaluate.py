"""A generator's scores, each beside its floor and a control.

The reference is one random half of the real images, or as many of them as there are samples. The floor is what as many
*other* real images score against it: a score below the floor is luck. The control is what a collapsed generator would
score that repeats its first eight pictures.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training import images
from training.errors import InputError
from training.images import Pixels
from training.metrics import distances, inception, labels, lenet
from training.metrics.features import Features, random_conv
from training.metrics.memorisation import TrainingSet, picture
from training.metrics.samples import open_sampler
from training.metrics.stacked import modes, stack
from training.metrics.wasserstein import SlicedWasserstein
from training.recipe import Crop, ImagesConfig

COLLAPSED = 8  # pictures that the control repeats
CONFIDENT = 0.9  # probability above which the classifier is counted as sure
Figures = dict[str, float]
Measure = Callable[[Pixels], Figures]


@dataclass(frozen=True)
class Score:
    """One figure, with what real images and a collapsed generator get."""

    name: str
    value: float
    floor: float
    collapsed: float
    samples: int


@dataclass(frozen=True)
class Sets:
    """The images that are compared, four times as many as there are samples."""

    reference: Pixels  # (N, C, S, S)
    held_out: Pixels  # as are all
    samples: Pixels
    collapsed: Pixels
    held_out_at: NDArray[np.int64]  # (N,) where the held-out images stand among the real ones

    def score(self, measure: Measure) -> list[Score]:
        """Measure the samples, the held-out images and the control, each against the same reference."""
        return self.line_up(*(measure(part) for part in (self.samples, self.held_out, self.collapsed)))

    def line_up(self, values: Figures, floors: Figures, controls: Figures) -> list[Score]:
        """Return the figures of the samples with those of the held-out images and the control beside them."""
        return [Score(name, values[name], floors[name], controls[name], len(self.samples)) for name in values]


@dataclass(frozen=True)
class Evaluation:
    """The scores and what they were measured with."""

    scores: list[Score]
    note: str  # the network that saw the images, for a person
    closest: Image.Image | None = None  # the pairs of sample and training image that are most alike

    def to_json(self) -> str:
        """Return the scores and their floors as a model's card takes them: name, value and number of samples."""
        figures = [
            {"name": score.name + suffix, "value": value, "samples": score.samples}
            for score in self.scores
            for suffix, value in (("", score.value), ("-floor", score.floor))
        ]
        return json.dumps(figures, indent=2)


def evaluate(model: Path, data: Path, number: int, weights: Path | None = None, crop: Crop | None = None) -> Evaluation:
    """Score ``number`` samples of a model against the images that it was trained on, or such as these.

    Args:
        model: an ONNX file or a run folder.
        data: a source of images.
        number: at most half as many as there are images.
        weights: the file of Inception v3, where its ``fid`` is wanted too.
        crop: how the images were made square; by default as the run did it, of an ONNX file the central square.

    Raises:
        InputError: the model, the images or the weights cannot be read.
    """
    eyes = inception.load(weights) if weights else None
    sampler = open_sampler(model)
    config = ImagesConfig(size=sampler.size, channels=sampler.channels, crop=crop or sampler.crop)
    dataset = images.read(data, config)
    sets = split(dataset.images, sampler.draw(min(number, len(dataset.images) // 2)))
    found = labels.find(data, len(dataset.images))
    measures, note = _measures(data, found, sets.reference)
    if eyes:
        measures.append(over(eyes, sets.reference))
        note += f"; inception: the file passed, digest {eyes.digest[:12]}"
    scores = [score for measure in measures for score in sets.score(measure)]
    copies, closest = look_for_copies(sets, TrainingSet(dataset.images, mirror=found is None))
    return Evaluation([*scores, *copies], note, closest)


def evaluate_stacked(model: Path, data: Path, number: int) -> Evaluation:
    """Count the modes that ``number`` samples of a model of three stacked digits cover.

    Raises:
        InputError: the model or the digits cannot be read, or the model draws no three channels.
    """
    sampler = open_sampler(model)
    dataset = images.read(data, ImagesConfig(size=sampler.size, channels=1))
    found = labels.find(data, len(dataset.images))
    if sampler.channels != 3 or found is None:
        raise InputError(
            "--stacked takes a model with three channels, one digit in each, and labelled digits as --data"
        )
    reals = stack(dataset.images, 2 * number)
    classifier, note = _classifier(data, found)
    sets = split(reals, sampler.draw(number))
    return Evaluation(sets.score(lambda pixels: modes(classifier, pixels)), note)


def _classifier(data: Path, found: labels.Labels) -> tuple[lenet.Classifier, str]:
    """Return the classifier of labelled digits, and in words how good it is."""
    classifier = lenet.obtain(images.read(data, ImagesConfig(size=lenet.SIZE, channels=1)), found)
    digest = classifier.features().digest[:12]
    return classifier, f"lenet: right on {classifier.accuracy:.2%} of held-out images, digest {digest}"


def _measures(data: Path, found: labels.Labels | None, reference: Pixels) -> tuple[list[Measure], str]:
    """Return what can be measured of images with labels, or without, and in words which network sees them."""
    patches = SlicedWasserstein(reference)
    if found is None:
        features = random_conv(*reference.shape[1:3])
        note = f"random-conv: fixed random weights, digest {features.digest[:12]}"
        return [over(features, reference), patches], note
    classifier, note = _classifier(data, found)
    return [over(classifier.features(), reference), patches, lambda pixels: classify(classifier, pixels)], note


def split(reals: Pixels, samples: Pixels) -> Sets:
    """Return the four sets, as large as ``samples``, of which there are at most half as many as of ``reals``."""
    order = np.random.RandomState(0).permutation(len(reals))
    reference_at, held_out_at, _ = np.split(order, [len(samples), 2 * len(samples)])
    reference, held_out = reals[reference_at], reals[held_out_at]
    return Sets(reference, held_out, samples, samples[np.arange(len(samples)) % COLLAPSED], held_out_at)


def over(features: Features, reference: Pixels) -> Measure:
    """Return the measure of what is compared over features."""
    real = features(reference)
    own = (f"{features.name}-fd", f"{features.name}-kd")
    frechet, kernel = ("fid", "kid") if features.name == inception.NAME else own

    def measure(pixels: Pixels) -> Figures:
        seen = features(pixels)
        return {
            frechet: distances.frechet(real, seen),
            kernel: distances.kernel(real, seen),
            f"{features.name}-recall": distances.recall(real, seen),
            f"{features.name}-coverage": distances.coverage(real, seen),
        }

    return measure


def classify(classifier: lenet.Classifier, pixels: Pixels) -> Figures:
    """Return how often each digit appears, as a share of all, and how many images the classifier is sure of."""
    probabilities = classifier.probabilities(pixels)  # (N, K)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    shares = {f"digit-{digit}": count / len(pixels) for digit, count in enumerate(counts.tolist())}
    return {"confident": float((probabilities.max(axis=1) > CONFIDENT).mean()), **shares}


def look_for_copies(sets: Sets, training: TrainingSet) -> tuple[list[Score], Image.Image]:
    """Return how near samples come to training images, and a picture of those that come nearest."""
    matches = training.match(sets.samples)
    others = (training.match_own(sets.held_out_at), training.match(sets.collapsed))
    scores = sets.line_up(matches.figures(), *(other.figures() for other in others))
    return scores, picture(sets.samples, training, matches)
