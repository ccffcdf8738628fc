"""A generator's scores, each beside its floor and a control.

The reference is one random half of the real images, or as many of them as there are samples. The floor is what as many
*other* real images score against it: a score below the floor is luck. The control is what a collapsed generator would
score that repeats its first eight pictures.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training import images
from training.configs import Crop, ImagesConfig
from training.errors import InputError
from training.images import Pixels
from training.metrics import inception, labels
from training.metrics.memorisation import TrainingSet, picture
from training.metrics.samples import open_sampler
from training.metrics.stacked import modes, stack
from training.metrics.tables import METRICS, Figures, Measure, Reals, load_classifier

COLLAPSED = 8  # pictures that the control repeats


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


def evaluate(
    model: Path,
    data: Path,
    number: int,
    weights: Path | None = None,
    crop: Crop | None = None,
    metrics: Sequence[str] = (),
) -> Evaluation:
    """Score ``number`` samples of a model against the images that it was trained on, or similar ones.

    Args:
        model: an ONNX file or a run folder.
        data: a source of images.
        number: at most half as many as there are images.
        weights: the file of Inception v3, for ``fid``.
        crop: how the images were made square; by default as the run did it, for an ONNX file the central square.
        metrics: names of :data:`METRICS`; all that apply by default.

    Raises:
        InputError: the model, the images or the weights cannot be read, or there is no such metric.
    """
    prepare = [METRICS[name] for name in metrics or METRICS]
    network = inception.load(weights) if weights else None
    sampler = open_sampler(model)
    config = ImagesConfig(size=sampler.size, channels=sampler.channels, crop=crop or sampler.crop)
    dataset = images.read(data, config)
    sets = split(dataset.images, sampler.draw(min(number, len(dataset.images) // 2)))
    reals = Reals(data, sets.reference, labels.find(data, len(dataset.images)), network)
    measures = [measure for metric in prepare if (measure := metric(reals))]
    scores = [score for measure in measures for score in sets.score(measure)]
    copies, closest = look_for_copies(sets, TrainingSet(dataset.images, mirror=reals.labels is None))
    return Evaluation([*scores, *copies], "; ".join(reals.notes), closest)


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
    classifier = load_classifier(data, found)
    sets = split(stack(dataset.images, 2 * number), sampler.draw(number))
    return Evaluation(sets.score(lambda pixels: modes(classifier, pixels)), classifier.features().note)


def split(reals: Pixels, samples: Pixels) -> Sets:
    """Return the four sets, as large as ``samples``, of which there are at most half as many as of ``reals``."""
    order = np.random.RandomState(0).permutation(len(reals))
    reference_at, held_out_at, _ = np.split(order, [len(samples), 2 * len(samples)])
    reference, held_out = reals[reference_at], reals[held_out_at]
    return Sets(reference, held_out, samples, samples[np.arange(len(samples)) % COLLAPSED], held_out_at)


def look_for_copies(sets: Sets, training: TrainingSet) -> tuple[list[Score], Image.Image]:
    """Return how near samples come to training images, and a picture of those that come nearest."""
    matches = training.match(sets.samples)
    others = (training.match_own(sets.held_out_at), training.match(sets.collapsed))
    scores = sets.line_up(matches.figures(), *(other.figures() for other in others))
    return scores, picture(sets.samples, training, matches)
