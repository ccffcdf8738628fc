"""Values of a model's inputs for seeds, with which a rewritten model is compared with the original."""

import numpy as np
from numpy.typing import NDArray

from service.contract import DIRECTIONS, INPUT, LABEL, TRUNCATION, Card

Feeds = dict[str, NDArray[np.float32] | NDArray[np.int64]]  # the values of every input, (N, …) each
TRUNCATED = 0.7


def feeds_of_seeds(card: Card, count: int) -> Feeds:
    """Return the inputs of seeds 0 … count-1: what they draw by themselves, and every other one moved as well.

    Even seeds have truncation and directions off. Odd ones are truncated to 0.7, and moved by up to half of each
    direction's useful range.
    """
    randoms = [np.random.RandomState(seed) for seed in range(count)]
    moved = np.arange(count) % 2
    feeds: Feeds = {INPUT: np.stack([random.randn(card.latent_dim) for random in randoms]).astype(np.float32)}
    if card.classes:
        feeds[LABEL] = np.array([random.randint(len(card.classes)) for random in randoms], np.int64)
    if card.truncation:
        feeds[TRUNCATION] = np.where(moved, TRUNCATED, 1).astype(np.float32)
    if card.directions:
        halves = np.array([one.range / 2 for one in card.directions])
        amounts = np.random.RandomState(0).uniform(-halves, halves, (count, len(halves)))
        feeds[DIRECTIONS] = (amounts * moved[:, None]).astype(np.float32)
    return feeds


def slices(feeds: Feeds, batch: int) -> list[Feeds]:
    """Return the inputs in batches of at most ``batch``."""
    firsts = range(0, len(feeds[INPUT]), batch)
    return [{name: values[first : first + batch] for name, values in feeds.items()} for first in firsts]
