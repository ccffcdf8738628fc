"""A styled generator: a mapping network scales and shifts every layer (Karras et al. 2019; Chen et al. 2019).

A latent enters twice: on the sphere, as the smallest feature map, and through the mapping network, as the styles w of
all layers. Both have a centre that an image can be drawn towards: 0, and ``w_mean``.

A class enters at the same two places, but beside the latent: the embedding of its label is appended to z and to w, past
the mapping network. In every layer the latent's scales and shifts are thus added to those of the class, the same for
all classes: one latent draws all of them in one manner, and w has one centre, in which no class fades.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.configs import GeneratorConfig, ImagesConfig
from training.networks.layers import Reshape, UpsampleConv, doublings, he_initialise, start_size, widths

SLOPE = 0.2  # of LeakyReLU
STYLE_GAIN = 0.25  # deviation of the scales around 1 and of the shifts around 0, before training
MEAN_STEP = 0.01  # how far w_mean moves towards the mean of a batch


def styled(config: GeneratorConfig, images: ImagesConfig) -> "StyledGenerator":
    """A mapping network that scales and shifts every layer, with fused upsampling (Karras et al. 2019).

    ``width`` filters at full size double towards 4×4 (or 7×7) up to ``max_width``.
    """
    return styled_classes(config, images, 0)


def styled_classes(config: GeneratorConfig, images: ImagesConfig, classes: int) -> "StyledGenerator":
    """The class scales and shifts every layer, beside the latent."""
    channels = widths(config.width, doublings(images.size) + 1, config.max_width)[::-1]
    return StyledGenerator(config.latent_dim, channels, start_size(images.size), images.channels, classes)


class StyledGenerator(nn.Module):
    """Latent (N, Z), standard normal, and label (N,), if there are classes -> image (N, C, S, S) in [-1, 1].

    Args:
        latent_dim: Z.
        channels: filters of each feature map, from the smallest to full size; each map is twice as wide as the last.
        start: side of the smallest map.
        out: C.
        classes: their number; 0 for a generator without labels.
    """

    w_mean: Tensor  # (Z,) running mean of w

    def __init__(self, latent_dim: int, channels: list[int], start: int, out: int, classes: int = 0) -> None:
        super().__init__()
        self.mapping = Mapping(latent_dim)
        self.register_buffer("w_mean", torch.zeros(latent_dim))
        self.embedding = nn.Embedding(classes, latent_dim) if classes else None  # from N(0, 1), as a latent is
        inputs = 2 * latent_dim if classes else latent_dim
        self.first = nn.Sequential(
            he_linear(inputs, channels[0] * start * start, gain=1.0), Reshape(channels[0], start, start)
        )
        self.upsamplings = nn.ModuleList(UpsampleConv(before, after) for before, after in pairwise(channels))
        self.styles = nn.ModuleList(Style(inputs, filters) for filters in channels)
        self.to_image = nn.Conv2d(channels[-1], out, 3, padding=1)
        he_initialise(self.to_image.weight, gain=1.0)

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map latents (N, Z) and labels (N,) to images (N, C, S, S) in [-1, 1]."""
        z = on_sphere(latents)
        w = self.mapping(z)
        if self.training:
            with torch.no_grad():
                self.w_mean.lerp_(w.detach().float().mean(dim=0), MEAN_STEP)
        return self.synthesise(z, w, labels)

    def synthesise(self, z: Tensor, w: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map a latent on the sphere and its w, (N, Z) each, and labels (N,) to images (N, C, S, S) in [-1, 1]."""
        if self.embedding is not None and labels is not None:
            described = functional.embedding(labels, on_sphere(self.embedding.weight))  # (N, Z)
            z, w = torch.cat([z, described], dim=1), torch.cat([w, described], dim=1)  # (N, 2Z)
        x = self.styles[0](self.first(z), w)  # (N, channels[0], start, start)
        for upsampling, style in zip(self.upsamplings, list(self.styles)[1:], strict=True):
            x = style(upsampling(x), w)
        return torch.tanh(self.to_image(x))


class Mapping(nn.Module):
    """Two layers that unfold the sphere of latents into a space in which the factors of an image can be straight."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(he_linear(latent_dim, latent_dim) for _ in range(2))

    def forward(self, z: Tensor) -> Tensor:
        """Map latents on the sphere (N, Z) to w (N, Z)."""
        for layer in self.layers:
            z = functional.leaky_relu(layer(z), SLOPE)
        return z


class Style(nn.Module):
    """BatchNorm, then a scale and a shift a channel that w decides, then LeakyReLU."""

    def __init__(self, latent_dim: int, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.affine = he_linear(latent_dim, 2 * channels, gain=STYLE_GAIN)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Map features (N, K, H, W) and w (N, Z) to features (N, K, H, W)."""
        scale, shift = self.affine(w)[:, :, None, None].chunk(2, dim=1)  # (N, K, 1, 1) each
        return functional.leaky_relu(torch.addcmul(shift, self.norm(x), 1 + scale), SLOPE)


def on_sphere(latents: Tensor) -> Tensor:
    """Scale latents (N, Z) to a mean square of 1, near which all normal ones are (Karras et al. 2018)."""
    return latents * (latents.square().mean(dim=1, keepdim=True) + 1e-8).rsqrt()


def he_linear(before: int, after: int, gain: float = 2**0.5) -> nn.Linear:
    """Return a linear layer with He-initialised weights and a bias of zeros."""
    layer = nn.Linear(before, after)
    he_initialise(layer.weight, gain)
    nn.init.zeros_(layer.bias)
    return layer
