"""``python -m training encoder | project``: find the latents of pictures."""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console

from training import images
from training.configs import Crop, ImagesConfig
from training.differentiable import open_generator
from training.errors import InputError
from training.files import write_atomically
from training.pictures import grid, png, to_images

console = Console(highlight=False)
ENCODER = "encoder.pt"


def encoder(
    model: Annotated[Path, typer.Argument(help="A run folder, one of its generator-*.pt, or a model.onnx.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Train for about this many minutes.")] = 5.0,
    out: Annotated[
        Path | None, typer.Option(help=f"File to write; default: {ENCODER} in the run folder, or in this one.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Photos to learn from, such as the model's own training images."),
    ] = None,
    init_from: Annotated[Path | None, typer.Option(help=f"An {ENCODER} to go on from.")] = None,
    crop: Annotated[Crop, typer.Option(help="As in training.")] = "center",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Random seed of weights and samples.")] = 0,
) -> None:
    """Train an encoder, on photos or else on a generator's own samples, for python -m export encoder."""
    from training.encoder import load, train

    generator = open_generator(model)
    if data and generator.classes:
        raise InputError(f"{model} has classes, and its encoder learns from samples alone; leave out --data")
    config = ImagesConfig(size=generator.size, channels=generator.channels, crop=crop)
    photos = images.read(data, config).images if data else None
    to = out or (model / ENCODER if model.is_dir() else Path(ENCODER))
    start = load(init_from) if init_from else None
    trained = train(generator, minutes, seed, lambda line: console.print(line, soft_wrap=True), photos, start)
    trained.save(to)
    console.print(f"{to}: {trained.images_seen:,} images. Next: python -m export encoder {to} MODEL", soft_wrap=True)


def project(
    model: Annotated[Path, typer.Argument(help="A run folder, one of its generator-*.pt, or a model.onnx.")],
    photo: Annotated[Path, typer.Argument(help="An image of any format and size.")],
    steps: Annotated[int, typer.Option(min=1, help="Steps of gradient descent.")] = 300,
    estimate: Annotated[Path | None, typer.Option("--encoder", help=f"An {ENCODER} to start from.")] = None,
    label: Annotated[int | None, typer.Option("--label", min=0, help="The class, of a model with classes.")] = None,
    crop: Annotated[Crop, typer.Option(help="As in training.")] = "center",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Random seed of the first latents.")] = 0,
    out: Annotated[Path, typer.Option(help="PNG to write: the photo and its image; beside it, the latent.")] = Path(
        "projected.png"
    ),
) -> None:
    """Find the latent of a photo by gradient descent."""
    from training.encoder import load
    from training.project import project as find

    generator = open_generator(model)
    if generator.classes and label is None:
        raise InputError(f"{model} has {generator.classes} classes; add --label NUMBER")
    torch.manual_seed(seed)
    config = ImagesConfig(size=generator.size, channels=generator.channels, crop=crop)
    pixels = images.read_one(photo, config)
    start = load(estimate).network(to_images(torch.from_numpy(pixels))[None]) if estimate else None
    found = find(generator, pixels, steps, start, label)
    write_atomically(out, png(grid(np.stack([pixels, found.image]), columns=2)))
    latent = out.with_suffix(".json")
    write_atomically(latent, json.dumps({"latent": found.latent.round(4).tolist()}).encode())
    console.print(f"loss {found.loss:.4f}: {out}; the latent, for POST /generate: {latent}", soft_wrap=True)
