"""One training step: the critic is updated on real and generated images, then the generator.

Where images have classes, a generated image is of the class of the real one at its place in the batch: both batches
have the same classes, and where an objective compares pairs, each pair is of one class.
"""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam

from training import distributed, ema, networks, objectives
from training.augment import augment
from training.device import Device
from training.recipe import Recipe

Stats = dict[str, Tensor]
STATISTICS_LATENTS = 512  # over which a snapshot's BatchNorm statistics are computed


class NotFiniteError(Exception):
    """A gradient was not finite: its update, and the rest of the step, were left out."""


def with_labels(values: Tensor, labels: Tensor | None) -> tuple[Tensor, ...]:
    """Return the arguments of a network: latents or images, and labels if there are classes."""
    return (values,) if labels is None else (values, labels)


class GAN:
    """Generator, critic, their optimisers and the generator's average: all that a step reads and changes.

    Methods take ``labels`` (N,) int64 if there are classes, and None otherwise.
    """

    def __init__(self, recipe: Recipe, device: Device, classes: int = 0) -> None:
        self.recipe, self.device = recipe, device
        self.objective = objectives.build(recipe.objective)
        self.generator = device.place(networks.build_generator(recipe, classes))
        self.critic = device.place(networks.build_critic(recipe, classes))
        self.decoder = device.place(networks.build_decoder(recipe)) if recipe.critic.reconstruction else None
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        rates = recipe.optimiser
        self.generator_optimiser = Adam(self.generator.parameters(), rates.generator_lr, rates.betas, fused=True)
        learning = [weight for weight in self.critic.parameters() if weight.requires_grad]  # the others are frozen
        learning += list(self.decoder.parameters()) if self.decoder else []
        self.critic_optimiser = Adam(learning, rates.critic_lr, rates.betas, fused=True)
        norms = (nn.BatchNorm1d, nn.BatchNorm2d)
        self._has_batch_norm = any(isinstance(layer, norms) for layer in self.critic.modules())
        self.steps = 0  # made, or begun and skipped

    def images_per_step(self, images_seen: int) -> int:
        """Return how many real images the next step shows to the critic."""
        later = self.recipe.double_batch_kimg
        doubled = later is not None and images_seen >= later * 1000
        return self.recipe.batch * self.recipe.objective.critic_steps * (2 if doubled else 1)

    def step(self, reals: Tensor, images_seen: int, labels: Tensor | None = None) -> Stats:
        """Make one step.

        Args:
            reals: (images_per_step(images_seen), C, S, S) float32 in [-1, 1]; of several processes, its share of them.
            images_seen: that the average has seen before this step; its half-life grows with them.
            labels: of the classes of ``reals``.

        Returns:
            Scalars for the log, still on the device, the same in all processes.

        Raises:
            NotFiniteError: a gradient was not finite; the updates before it were, and stay.
        """
        stats: Stats = {}
        parts = self.recipe.objective.critic_steps
        batches = torch.chunk(reals, parts)
        batch_labels = torch.chunk(labels, parts) if labels is not None else [None] * len(batches)
        first = self.steps * len(batches)  # of this step's critic steps
        self.steps += 1  # also where the step is skipped: a penalty that is not finite is not tried again at once
        for number, (batch, asked) in enumerate(zip(batches, batch_labels, strict=True), first):
            # The last fakes keep their graph and serve the generator's update too: one forward pass less.
            fakes = self._generate(len(batch), asked, with_graph=batch is batches[-1])
            penalised = number % self.recipe.objective.penalty_every == 0
            stats |= self._train_critic(batch, fakes, asked, penalised=penalised)
        stats |= self._train_generator(batches[-1], fakes, batch_labels[-1])
        distributed.average_statistics(self.generator, self.critic)
        shown = len(reals) * distributed.size()
        ema.update(self.average, self.generator, shown, ema.half_life(self.recipe.ema_kimg, images_seen + shown))
        return distributed.average_stats(stats)

    def set_learning_rates(self, progress: float) -> None:
        """Lower both rates linearly to zero as ``progress`` goes from 0 to 1, if the recipe decays them."""
        left = 1 - min(progress, 1.0) if self.recipe.optimiser.decay else 1.0
        self.generator_optimiser.param_groups[0]["lr"] = self.recipe.optimiser.generator_lr * left
        self.critic_optimiser.param_groups[0]["lr"] = self.recipe.optimiser.critic_lr * left

    @torch.no_grad()
    def sample(self, latents: Tensor, generator: nn.Module | None = None, labels: Tensor | None = None) -> Tensor:
        """Return images (N, C, S, S) in [-1, 1], float32, of latents (N, Z), by default of the averaged generator."""
        draw = generator or self.average
        inputs = [part.to(self.device.torch) for part in with_labels(latents, labels)]
        batches = zip(*(torch.split(part, 64) for part in inputs), strict=True)
        return torch.cat([draw(*batch).float() for batch in batches])

    def snapshot(self, labels: Tensor | None = None) -> nn.Module:
        """Return the averaged generator as it is saved and exported: with BatchNorm statistics of its own.

        Args:
            labels: (STATISTICS_LATENTS,) of the classes that batches show.
        """
        shape = STATISTICS_LATENTS, self.recipe.generator.latent_dim
        latents = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        inputs = [part.to(self.device.torch) for part in with_labels(latents, labels)]
        return ema.with_own_statistics(self.average, *inputs)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next step depends on, with the random states of all processes.

        Every process must call it.
        """
        state = {name: part.state_dict() for name, part in self._parts().items()}
        rng = torch.stack(distributed.gather(torch.get_rng_state()))  # (processes, bytes)
        cuda = distributed.gather(torch.cuda.get_rng_state()) if self.device.torch.type == "cuda" else []
        return state | {"steps": self.steps, "rng": rng, "cuda_rng": cuda}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that :meth:`state_dict` returned; raises what torch raises where it does not fit.

        The random states are restored where there are as many processes as saved them; others keep their own.
        """
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        self.steps = state["steps"]
        rng = state["rng"].reshape(-1, len(torch.get_rng_state()))  # (processes, bytes)
        if len(rng) != distributed.size():
            return
        torch.set_rng_state(rng[distributed.rank()].clone())  # torch 2.13 reads beyond the end of a view
        if self.device.torch.type == "cuda" and state["cuda_rng"]:
            torch.cuda.set_rng_state(state["cuda_rng"][distributed.rank()])

    def _parts(self) -> dict[str, Any]:
        return {
            "generator": self.generator,
            "critic": self.critic,
            "average": self.average,
            "generator_optimiser": self.generator_optimiser,
            "critic_optimiser": self.critic_optimiser,
            **({"decoder": self.decoder} if self.decoder else {}),
        }

    def _generate(self, number: int, labels: Tensor | None = None, *, with_graph: bool) -> Tensor:
        latents = torch.randn(number, self.recipe.generator.latent_dim, device=self.device.torch)
        with torch.set_grad_enabled(with_graph), self.device.autocast():
            images: Tensor = self.generator(*with_labels(latents, labels))
        return images

    def _train_critic(self, reals: Tensor, fakes: Tensor, labels: Tensor | None, *, penalised: bool) -> Stats:
        with self.device.autocast():
            reals, fakes = augment(reals, self.recipe.augment), augment(fakes.detach(), self.recipe.augment)
            real_scores, fake_scores = self._score(reals, fakes, labels)
        loss = self.objective.critic_loss(real_scores, fake_scores)
        stats = {
            "critic_loss": loss.detach(),
            "real_score": real_scores.detach().mean(),
            "fake_score": fake_scores.detach().mean(),
            "real_sign": real_scores.detach().sign().mean(),
            "fake_sign": fake_scores.detach().sign().mean(),
        }
        config = self.recipe.objective
        if config.penalty and self.objective.penalty and penalised:
            # In float32, outside autocast: bfloat16 is too coarse for the penalty's double backward.
            critic = self.critic if labels is None else partial(self.critic, labels=labels)
            penalty = self.objective.penalty(critic, reals.float(), fakes.float())
            loss = loss + penalty * config.penalty * config.penalty_every
            stats["penalty"] = penalty.detach()
        if self.decoder:
            error = self._reconstruction_error(self.decoder, reals)
            loss = loss + error * self.recipe.critic.reconstruction
            stats["reconstruction"] = error.detach()
        self._update(loss, self.critic_optimiser)
        return stats

    def _reconstruction_error(self, decoder: nn.Module, reals: Tensor) -> Tensor:
        """Return the mean squared error of small copies of real images that are redrawn from the critic's features."""
        with self.device.autocast():
            redrawn = decoder(self.critic.features(reals)).float()  # type: ignore[operator]  # of a Strided
        return functional.mse_loss(redrawn, functional.adaptive_avg_pool2d(reals.float(), redrawn.shape[2]))

    def _score(self, reals: Tensor, fakes: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Score both batches, in one pass unless BatchNorm would mix their statistics; scores are float32 (N,)."""
        if self._has_batch_norm:
            return self._score_one(reals, labels), self._score_one(fakes, labels)
        both = torch.cat([reals, fakes.to(reals.dtype)])
        real_scores, fake_scores = self._score_one(both, labels if labels is None else labels.repeat(2)).chunk(2)
        return real_scores, fake_scores

    def _score_one(self, images: Tensor, labels: Tensor | None) -> Tensor:
        scores: Tensor = self.critic(*with_labels(images, labels))
        return scores.float()

    def _train_generator(self, reals: Tensor, fakes: Tensor, labels: Tensor | None = None) -> Stats:
        with self.device.autocast():
            fake_scores = self._score_one(augment(fakes, self.recipe.augment), labels)
            if self.objective.paired:
                real_scores = self._score_one(augment(reals, self.recipe.augment), labels)
            else:
                real_scores = torch.zeros_like(fake_scores)  # ignored
        loss = self.objective.generator_loss(real_scores, fake_scores)
        self._update(loss, self.generator_optimiser)
        return {"generator_loss": loss.detach()}

    @staticmethod
    def _update(loss: Tensor, optimiser: Adam) -> None:
        """Make one step of an optimiser; every change of a weight or moment goes through here."""
        weights: list[Tensor] = optimiser.param_groups[0]["params"]
        optimiser.zero_grad(set_to_none=True)
        loss.backward(inputs=weights)  # type: ignore[no-untyped-call]  # none for the other network's weights
        distributed.average_gradients(weights)
        # A square that overflows makes the norm infinite, too, so that Adam's moments stay finite.
        if not torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None]).isfinite():
            raise NotFiniteError
        optimiser.step()
