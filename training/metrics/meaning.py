"""What each figure of an evaluation means: which values are good, and what a set of scores says in plain sentences."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple


class Meaning(NamedTuple):
    """What a figure is, for a person."""

    good: str  # which values are good
    what: str


# By a pattern of the figure's name; the first that fits.
MEANINGS = {
    "*-fd": Meaning(
        "low",
        "Fréchet distance between two sets of features, as if each were a Gaussian (Heusel et al. 2017); falls as "
        "the number of samples grows, so compare it with that of real images",
    ),
    "*-kd": Meaning(
        "low",
        "kernel distance (Bińkowski et al. 2018): the same without that bias, so better for a few hundred images; "
        "0 within its error: this network cannot tell the samples from real images. It goes on falling where a "
        "classifier would still be right every time",
    ),
    "fid": Meaning("low", "Fréchet distance over Inception's features (Heusel et al. 2017)"),
    "kid": Meaning("low", "kernel distance over Inception's features (Bińkowski et al. 2018)"),
    "*-recall": Meaning(
        "high",
        "variety: share of the real images that are nearer to a sample than that sample's fifth neighbour is "
        "(Kynkäänniemi et al. 2019); near 0 where all samples vary one picture",
    ),
    "*-coverage": Meaning(
        "high",
        "variety, not fooled by samples that are far from everything: share of the real images that have a sample "
        "nearer than their own fifth neighbour (Naeem et al. 2020)",
    ),
    "swd*": Meaning(
        "low",
        "sliced Wasserstein distance ×10³ between 7×7 patches, on average and at each scale of detail (Karras et "
        "al. 2018): texture",
    ),
    "grid": Meaning(
        "1",
        "energy at the periods that upsampling leaves (2, 4 and 8 pixels) over that of neighbouring frequencies, "
        "over the same of real images: a checkerboard; visible from 1.5 on",
    ),
    "rim": Meaning(
        "1",
        "how abruptly the outermost three lines of pixels end, over lines inside, over the same of real images: a "
        "frame; visible from 1.5 on, where the background is not plain",
    ),
    "nearest": Meaning(
        "as real",
        "median distance to the nearest training image, on thumbnails of 16×16 pixels, in levels of 0 to 255. A "
        "real image's is to the nearest *other* one",
    ),
    "copies": Meaning(
        "as real",
        "share of samples that are at most half as far from one training image as, on average, from their fifty "
        "nearest: drawn from memory",
    ),
    "*-copies": Meaning("as real", "the same over the network's features: also copies that are moved, cut or mirrored"),
    "confident": Meaning("as real", "share of samples whose class the classifier is more than 90% sure of"),
    "digit-*": Meaning("as real", "how often the classifier reads each digit"),
    "stacked-modes": Meaning("1000", "how many of the thousand combinations of three digits appear"),
    "stacked-kl": Meaning("low", "divergence of their shares from even ones, in nats"),
}
VISIBLE = 1.5  # grid and rim
LITTLE = 0.25  # of the real images' variety


def of(name: str) -> Meaning | None:
    """Return the meaning of a figure, if it has one here."""
    return next((meaning for pattern, meaning in MEANINGS.items() if fnmatchcase(name, pattern)), None)


class Compared(NamedTuple):
    """A figure of the samples, its standard error, and the same figure of real images."""

    value: float
    error: float
    floor: float


def sentences(scores: Mapping[str, Compared]) -> Iterator[str]:
    """Yield what the figures say: likeness, variety, artefacts, copies. Of several networks the first one speaks."""
    if found := _first(scores, "-kd", "kid"):
        name, kd = found
        far = kd.value > 2 * kd.error
        yield (
            f"{name} {kd.value:.3g} ± {kd.error:.2g}: "
            + ("the samples can be told from real images; the lower, the less" if far else "as real images")
        )
    if found := _first(scores, "-recall"):
        name, recall = found
        if recall.value < LITTLE * recall.floor:
            yield (
                f"{name} {recall.value:.2f}, of real images {recall.floor:.2f}: little variety. Samples that look well "
                "are variations of a few pictures, whatever their colours"
            )
    for name, what in (("grid", "a grid"), ("rim", "a frame, unless the background is plain,")):
        if name in scores and scores[name].value > VISIBLE:
            yield f"{name} {scores[name].value:.2f}: {what} is visible in the samples (1: as in real images)"
    for name, copies in scores.items():
        if name.endswith("copies") and copies.value > copies.floor + 2 * copies.error + 0.02:
            yield (
                f"{name} {copies.value:.2f}, of real images {copies.floor:.2f}: some samples repeat training images; "
                "look at the pairs"
            )


def _first(scores: Mapping[str, Compared], *endings: str) -> tuple[str, Compared] | None:
    return next(((name, score) for name, score in scores.items() if name.endswith(endings)), None)
