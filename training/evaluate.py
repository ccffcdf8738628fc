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

from training import images
from training.images import Pixels
from training.metrics import distances, labels, lenet
from training.metrics.features import Features, random_conv
from training.metrics.samples import open_sampler
from training.recipe import ImagesConfig

COLLAPSED = 8  # pictures that the control repeats
CONFIDENT = 0.9  # probability above which the classifier is counted as sure
Measure = Callable[[Pixels], dict[str, float]]


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
    """The images that are compared, four times as many as there are samples; each (N, C, S, S)."""

    reference: Pixels
    held_out: Pixels
    samples: Pixels
    collapsed: Pixels

    def score(self, measure: Measure) -> list[Score]:
        """Measure the samples, the held-out images and the control, each against the same reference."""
        values, floors, controls = (measure(part) for part in (self.samples, self.held_out, self.collapsed))
        return [Score(name, values[name], floors[name], controls[name], len(self.samples)) for name in values]


@dataclass(frozen=True)
class Evaluation:
    """The scores, and in words what they were measured with."""

    scores: list[Score]
    notes: list[str]

    def to_json(self) -> str:
        """Return the figures as a model's card takes them: name, value and number of samples."""
        figures = [
            {"name": score.name + suffix, "value": value, "samples": score.samples}
            for score in self.scores
            for suffix, value in (("", score.value), ("-floor", score.floor), ("-collapsed", score.collapsed))
        ]
        return json.dumps(figures, indent=2)


def evaluate(model: Path, data: Path, number: int) -> Evaluation:
    """Score ``number`` samples of a model against the images that it was trained on, or such as these.

    Raises:
        InputError: the model or the images cannot be read.
    """
    sampler = open_sampler(model)
    dataset = images.read(data, ImagesConfig(size=sampler.size, channels=sampler.channels))
    sets = split(dataset.images, sampler.draw(min(number, len(dataset.images) // 2)))
    found = labels.find(data, len(dataset.images))
    if found is None:
        features = random_conv(sampler.channels, sampler.size)
        scores, notes = [], [f"random-conv: fixed random weights, digest {features.digest[:12]}"]
    else:
        classifier = lenet.obtain(images.read(data, ImagesConfig(size=lenet.SIZE, channels=1)), found)
        features = classifier.features()
        scores = sets.score(lambda part: classify(classifier, part))
        notes = [f"lenet: right on {classifier.accuracy:.2%} of held-out images, digest {features.digest[:12]}"]
    return Evaluation([*sets.score(over(features, sets.reference)), *scores], notes)


def split(reals: Pixels, samples: Pixels) -> Sets:
    """Return the four sets, as large as ``samples``, of which there are at most half as many as of ``reals``."""
    order = np.random.RandomState(0).permutation(len(reals))
    reference, held_out = reals[order[: len(samples)]], reals[order[len(samples) : 2 * len(samples)]]
    return Sets(reference, held_out, samples, samples[np.arange(len(samples)) % COLLAPSED])


def over(features: Features, reference: Pixels) -> Measure:
    """Return the measure of what is compared over features."""
    real = features(reference)

    def measure(pixels: Pixels) -> dict[str, float]:
        seen = features(pixels)
        return {
            f"{features.name}-fd": distances.frechet(real, seen),
            f"{features.name}-kd": distances.kernel(real, seen),
            f"{features.name}-recall": distances.recall(real, seen),
            f"{features.name}-coverage": distances.coverage(real, seen),
        }

    return measure


def classify(classifier: lenet.Classifier, pixels: Pixels) -> dict[str, float]:
    """Return how often each digit appears, as a share of all, and how many images the classifier is sure of."""
    probabilities = classifier.probabilities(pixels)  # (N, K)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    shares = {f"digit-{digit}": count / len(pixels) for digit, count in enumerate(counts.tolist())}
    return {"confident": float((probabilities.max(axis=1) > CONFIDENT).mean()), **shares}
