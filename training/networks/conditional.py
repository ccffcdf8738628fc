"""How classes enter generators and critics that were written without: as a part of the latent, and by projection."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from training.configs import CLASS_GROUP, CriticConfig, GeneratorConfig, ImagesConfig
from training.networks.critics import Strided
from training.networks.layers import MinibatchStd

EMBEDDING = 64  # numbers that describe a class to a generator

Config = TypeVar("Config")
Build = Callable[[Config, ImagesConfig], nn.Module]
BuildClasses = Callable[[Config, ImagesConfig, int], nn.Module]


def latent(build: Build[GeneratorConfig]) -> BuildClasses[GeneratorConfig]:
    """The class's embedding is appended to the latent (Mirza and Osindero 2014)."""

    def build_classes(config: GeneratorConfig, images: ImagesConfig, classes: int) -> nn.Module:
        longer = config.model_copy(update={"latent_dim": config.latent_dim + EMBEDDING})
        return EmbeddedLatent(build(longer, images), classes)

    return build_classes


def projection(build: Build[CriticConfig]) -> BuildClasses[CriticConfig]:
    """The class's embedding is projected on the critic's features (Miyato and Koyama 2018)."""

    def build_classes(config: CriticConfig, images: ImagesConfig, classes: int) -> nn.Module:
        return Projection(build(config, images), classes)

    return build_classes


class EmbeddedLatent(nn.Module):
    """A generator of which the last ``EMBEDDING`` numbers of the latent describe the class."""

    def __init__(self, generator: nn.Module, classes: int) -> None:
        super().__init__()
        self.generator = generator
        self.embedding = nn.Embedding(classes, EMBEDDING)  # from N(0, 1), as a latent is

    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        """Map latents (N, Z) and labels (N,) to images (N, C, S, S) in [-1, 1]."""
        images: Tensor = self.generator(torch.cat([latents, self.embedding(labels)], dim=1))
        return images


class Projection(nn.Module):
    """A critic that adds the product of its features with an embedding of the class to its score.

    Args:
        critic: a sequence that ends in features (N, D), a linear layer, and the scores (N,).
        classes: their number.
    """

    def __init__(self, critic: nn.Module, classes: int) -> None:
        super().__init__()
        if not isinstance(critic, nn.Sequential) or not isinstance(critic[-2], nn.Linear):
            raise TypeError("a projection needs a critic that ends in a linear layer")
        self.critic = critic
        for layer in critic:
            if isinstance(layer, MinibatchStd):
                layer.group = CLASS_GROUP  # a batch has groups of one class
        self.embedding = nn.Embedding(classes, critic[-2].in_features)
        nn.init.normal_(self.embedding.weight, 0.0, 0.02)  # as the linear layer

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """Map images (N, C, S, S) and labels (N,) to scores (N,)."""
        *body, linear, flatten = self.critic
        for layer in body:
            images = layer(images)  # at last the features (N, D)
        score: Tensor = flatten(linear(images))
        projected: Tensor = (self.embedding(labels) * images).sum(dim=1)
        return score + projected

    def features(self, images: Tensor) -> Tensor:
        """Map images (N, C, S, S) to the feature map that a decoder redraws them from."""
        assert isinstance(self.critic, Strided)  # noqa: S101 (the only family with a decoder)
        features: Tensor = self.critic.features(images)
        return features
