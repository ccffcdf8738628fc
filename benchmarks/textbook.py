"""What our step is measured against: DCGAN and WGAN-GP as one finds them, eager and in plain float32.

Networks and step are those of the official example (github.com/pytorch/examples, dcgan/main.py), written anew. The
example has no biases where no BatchNorm follows, 68 numbers of six million; these have them, as ours do, so that both
train the same networks.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

LATENT_DIM, WIDTH, SIZE, BATCH = 100, 64, 64, 64
CRITIC_STEPS, LAMBDA = 5, 10  # Gulrajani et al. 2017, algorithm 1


def generator() -> nn.Sequential:
    """Return latent (N, 100, 1, 1) -> image (N, 3, 64, 64) in [-1, 1]."""
    widths = [LATENT_DIM, 8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        stride, padding = (2, 1) if layers else (1, 0)
        conv = nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False)
        layers += [conv, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.ConvTranspose2d(WIDTH, 3, 4, 2, 1), nn.Tanh()).apply(_initialise)


def critic(*, norm: bool) -> nn.Sequential:
    """Return image (N, 3, 64, 64) -> score (N, 1, 1, 1); BatchNorm, if asked for, in all layers but the first."""
    layers: list[nn.Module] = [nn.Conv2d(3, WIDTH, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
    for before in (WIDTH, 2 * WIDTH, 4 * WIDTH):
        layers.append(nn.Conv2d(before, 2 * before, 4, 2, 1, bias=not norm))
        if norm:
            layers.append(nn.BatchNorm2d(2 * before))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    return nn.Sequential(*layers, nn.Conv2d(8 * WIDTH, 1, 4)).apply(_initialise)


class DCGAN:
    """The official example: a pass over real images, one over generated ones, then the generator's."""

    critic_steps = 1

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.generator = generator().to(device)
        self.critic = self._critic().to(device)
        self.optimisers = [Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (self.generator, self.critic)]

    def step(self, reals: Tensor) -> None:
        """Play a step on reals (N, 3, 64, 64) float32 in [-1, 1]."""
        self.critic.zero_grad()
        self._loss(reals, 1).backward()
        fakes = self._generate(len(reals))
        self._loss(fakes.detach(), 0).backward()
        self.optimisers[1].step()
        self.generator.zero_grad()
        self._loss(fakes, 1).backward()
        self.optimisers[0].step()

    def _critic(self) -> nn.Sequential:
        return nn.Sequential(*critic(norm=True), nn.Sigmoid())

    def _generate(self, number: int) -> Tensor:
        images: Tensor = self.generator(torch.randn(number, LATENT_DIM, 1, 1, device=self.device))
        return images

    def _loss(self, images: Tensor, label: float) -> Tensor:
        scores = self.critic(images).view(-1)
        return functional.binary_cross_entropy(scores, torch.full_like(scores, label))


class WGANGP(DCGAN):
    """The same networks without BatchNorm in the critic, five steps of which, each with its penalty, go with one."""

    critic_steps = CRITIC_STEPS

    def step(self, reals: Tensor) -> None:
        """Play a step on reals (5 * N, 3, 64, 64) float32 in [-1, 1]."""
        for batch in reals.chunk(CRITIC_STEPS):
            fakes = self._generate(len(batch)).detach()
            loss = self.critic(fakes).mean() - self.critic(batch).mean() + LAMBDA * self._penalty(batch, fakes)
            self.critic.zero_grad()
            loss.backward()
            self.optimisers[1].step()
        self.generator.zero_grad()
        (-self.critic(self._generate(len(batch))).mean()).backward()
        self.optimisers[0].step()

    def _critic(self) -> nn.Sequential:
        return critic(norm=False)

    def _penalty(self, reals: Tensor, fakes: Tensor) -> Tensor:
        mix = torch.rand(len(reals), 1, 1, 1, device=self.device)
        between = (mix * reals + (1 - mix) * fakes).requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
        return (gradient.flatten(1).norm(dim=1) - 1).square().mean()


def _initialise(layer: nn.Module) -> None:
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(layer.weight, 0.0, 0.02)
    elif isinstance(layer, nn.BatchNorm2d):
        nn.init.normal_(layer.weight, 1.0, 0.02)
