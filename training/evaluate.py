"""Score the samples of a generator, with a floor and a control for every score.

The reference is a random set of real images, as many as there are samples. The floor is the score of as many *other*
real images against the reference; a score below the floor is chance. The control is the score of mode collapse: the
first eight samples, repeated.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training import device, images
from training.configs import Crop, ImagesConfig
from training.errors import InputError
from training.files import write_atomically
from training.images import Dataset, Pixels
from training.metrics import by_class, efficientnet, inception, labels, meaning
from training.metrics.by_class import ClassScore, Labelled
from training.metrics.errors import Figure, share
from training.metrics.meaning import Compared
from training.metrics.memorisation import COPY, PAIRS, TrainingSet, picture
from training.metrics.samples import Sampler, open_sampler
from training.metrics.stacked import modes, stack
from training.metrics.tables import METRICS, Figures, Measure, Reals, Source, load_classifier
from training.pictures import png
from training.run import Run

COLLAPSED = 8  # samples that the control repeats
LISTED = 32  # classes in a card, which holds 64 figures in all
QUICK = 200  # samples that are scored at the end of a run
FEWEST = 32  # images that a quick evaluation needs
DESCRIBED = 20_000  # images at most whose features are compared one by one


@dataclass(frozen=True)
class Score:
    """One figure of the samples, with those of held-out real images and of a collapsed generator."""

    name: str
    value: float
    floor: float
    collapsed: float
    samples: int

    @property
    def error(self) -> float | None:
        """The standard error of the value, where it is known."""
        return self.value.error if isinstance(self.value, Figure) else None


@dataclass(frozen=True)
class Sets:
    """The four sets of images that are compared, equal in size."""

    reference: Pixels  # (N, C, S, S)
    held_out: Pixels  # (N, C, S, S), as are the others
    samples: Pixels
    collapsed: Pixels
    held_out_at: NDArray[np.int64]  # (N,) indices of the held-out images among the real ones

    def score(self, measure: Measure) -> list[Score]:
        """Measure the samples, the held-out images and the control against the reference."""
        return self.as_scores(*(measure(part) for part in (self.samples, self.held_out, self.collapsed)))

    def as_scores(self, values: Figures, floors: Figures, controls: Figures) -> list[Score]:
        """Combine the figures of the samples, the held-out images and the control into scores."""
        return [Score(name, values[name], floors[name], controls[name], len(self.samples)) for name in values]


@dataclass(frozen=True)
class Evaluation:
    """The scores and the networks that they were measured with."""

    scores: list[Score]
    note: str  # identifies the feature networks, for a person
    closest: Image.Image | None = None  # the samples closest to a training image, each beside it
    classes: list[ClassScore] = field(default_factory=list)  # of a model with classes, if those of the images are known

    def sentences(self) -> Iterator[str]:
        """Yield what the scores say, in sentences."""
        return meaning.sentences(
            {score.name: Compared(score.value, score.error or 0, score.floor) for score in self.scores}
        )

    def to_json(self) -> str:
        """Return scores, errors and floors in the card's format: name, value and number of samples.

        Of the classes, the share that is read as what was asked for, over all and of those that are read worst.
        """
        figures = [
            {"name": score.name + suffix, "value": value, "samples": score.samples}
            for score in self.scores
            for suffix, value in (("", score.value), ("-error", score.error), ("-floor", score.floor))
            if value is not None
        ]
        figures += [{"name": name, "value": value, "samples": count} for name, value, count in self._asked()]
        return json.dumps(figures, indent=2, ensure_ascii=False)

    def _asked(self) -> Iterator[tuple[str, float, int]]:
        if total := sum(one.samples for one in self.classes):
            yield "asked", sum(one.asked * one.samples for one in self.classes) / total, total
        worst = sorted(self.classes, key=lambda one: one.asked)[:LISTED]
        yield from ((f"asked-{one.name}", one.asked, one.samples) for one in self.classes if one in worst)


def evaluate(
    model: Path,
    data: Path,
    number: int,
    weights: Path | None = None,
    crop: Crop | None = None,
    background: str | None = None,
    metrics: Sequence[str] = (),
    classes: str | None = None,
) -> Evaluation:
    """Score ``number`` samples of a model against its training images.

    Args:
        model: an ONNX file or a run folder.
        data: a source of images.
        number: at most half as many as there are images.
        weights: the file of Inception v3, for ``fid``.
        crop: how the images are made square; default: as in the run, or the central square for an ONNX file.
        background: behind transparency and padding; default: as in the run, or white for an ONNX file.
        metrics: names of :data:`METRICS`; all that apply by default.
        classes: where an image's class is found, as in training; default: as in the run.

    Raises:
        InputError: the model, the images or the weights cannot be read, or a metric is unknown; or the images do not
            have the classes of the model.
    """
    device.keep_freed_memory()
    chosen = [METRICS[name] for name in metrics or METRICS]
    network = inception.load(weights) if weights else None
    sampler = open_sampler(model)
    config = ImagesConfig(
        size=sampler.size,
        channels=sampler.channels,
        crop=crop or sampler.crop,
        background=background or sampler.background,
    )
    source = Source(data, config.crop, classes or sampler.labelled, config.background)
    dataset = images.read(data, config, source.classes)
    found = dataset.labels if source.classes else labels.find(data, len(dataset.images))
    pixels = dataset.images[dataset.distinct]
    latents, asked = sampler.inputs(min(number, len(pixels) // 2))
    sets = split(pixels, sampler.render_all(latents, asked))
    reals = Reals(source, sets.reference, found, network, conditional=bool(sampler.classes))
    result = _judge(pixels, sets, reals, chosen)
    of_classes = score_classes(sampler, dataset, reals, Labelled(sets.samples, asked)) if asked is not None else []
    return replace(result, classes=of_classes)


def evaluate_run(run: Run, dataset: Dataset) -> Evaluation | None:
    """Score a few samples of a run against its images in memory; None where those are too few.

    Over networks that need no training, also where there are labels.
    """
    pixels = dataset.images[dataset.distinct]
    if len(pixels) < FEWEST:
        return None
    sets = split(pixels, open_sampler(run.path).draw(min(QUICK, len(pixels) // 2)))
    chosen = [METRICS["distances"], METRICS["artefacts"]]
    return _judge(pixels, sets, Reals(Source(run.path), sets.reference, labels=None), chosen)


def _judge(pixels: Pixels, sets: Sets, reals: Reals, chosen: Sequence[Callable[[Reals], Measure | None]]) -> Evaluation:
    measures = [measure for metric in chosen if (measure := metric(reals))]
    scores = [score for measure in measures for score in sets.score(measure)]
    copies, closest = find_copies(sets, pixels, drawings=reals.drawings)
    return Evaluation([*scores, *copies], "; ".join(reals.notes), closest)


def score_classes(sampler: Sampler, dataset: Dataset, reals: Reals, samples: Labelled) -> list[ClassScore]:
    """Return the figures of each class; none where the images' classes are not known."""
    if dataset.labels is None:
        return []
    if tuple(dataset.report.classes) != sampler.classes:
        raise InputError(
            f"{reals.source.path} does not have the classes of the model: it has {len(dataset.report.classes)}, "
            f"and the model {len(sampler.classes)}"
        )
    return by_class.score(reals.classifier, sampler.classes, samples, Labelled(dataset.images, dataset.labels))


def save(result: Evaluation, path: Path) -> Path | None:
    """Write the scores to a file, and beside it the samples closest to training images; return where those are."""
    write_atomically(path, (result.to_json() + "\n").encode())
    if result.closest is None:
        return None
    pairs = path.with_name(f"{path.stem}-nearest.png")
    write_atomically(pairs, png(result.closest))
    return pairs


def evaluate_stacked(model: Path, data: Path, number: int) -> Evaluation:
    """Count the modes that ``number`` samples of a model of Stacked MNIST cover.

    Raises:
        InputError: the model or the digits cannot be read, or the model does not have three channels.
    """
    sampler = open_sampler(model)
    dataset = images.read(data, ImagesConfig(size=sampler.size, channels=1))
    found = labels.find(data, len(dataset.images))
    if sampler.channels != 3 or found is None:
        raise InputError("--stacked needs a model with three channels, and labelled digits as --data")
    classifier = load_classifier(Source(data), found)
    sets = split(stack(dataset.images, 2 * number), sampler.draw(number))
    return Evaluation(sets.score(lambda pixels: modes(classifier, pixels)), classifier.features().note)


def split(reals: Pixels, samples: Pixels) -> Sets:
    """Return the four sets; ``samples`` are at most half as many as ``reals``."""
    order = np.random.RandomState(0).permutation(len(reals))
    reference_at, held_out_at, _ = np.split(order, [len(samples), 2 * len(samples)])
    reference, held_out = reals[reference_at], reals[held_out_at]
    return Sets(reference, held_out, samples, samples[np.arange(len(samples)) % COLLAPSED], held_out_at)


def find_copies(sets: Sets, pixels: Pixels, *, drawings: bool) -> tuple[list[Score], Image.Image]:
    """Return scores of memorisation, and a grid of the samples closest to a training image.

    Half of the grid is closest as thumbnails, half by what EfficientNet-Lite2 sees, where that is installed.

    Args:
        sets: the samples and what they are compared with.
        pixels: all training images, (N, C, S, S), of which those in ``sets`` are some.
        drawings: whether they are digits or the like, which are neither mirrored nor seen as objects.
    """
    objects = efficientnet.load() if not drawings and len(pixels) <= DESCRIBED else None
    number = PAIRS // 2 if objects else PAIRS
    training = TrainingSet(pixels, mirror=not drawings)
    matches = training.match(sets.samples)
    others = (training.match_own(sets.held_out_at), training.match(sets.collapsed))
    scores = sets.as_scores(matches.figures(), *(other.figures() for other in others))
    pairs = [training.closest(sets.samples, matches, number)]
    if objects:
        described = TrainingSet(pixels, mirror=False, describe=objects)
        seen = described.match(sets.samples)
        parts = (seen, described.match_own(sets.held_out_at), described.match(sets.collapsed))
        scores += sets.as_scores(*({f"{objects.name}-copies": share(part.relative < COPY)} for part in parts))
        pairs.append(described.closest(sets.samples, seen, number))
    return scores, picture(np.concatenate(pairs))
