"""The training loop: steps, ticks and snapshots until the budget of images is spent or the user stops it."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from training import distributed, sample_grid
from training.configs import CLASS_GROUP
from training.data_order import ClassOrder, DataOrder
from training.device import Device
from training.errors import InputError, TrainingError
from training.gan import GAN, STATISTICS_LATENTS
from training.health import FIGURES, Health
from training.images import Dataset
from training.logbook import Averages, Logbook, progress_bar
from training.nonfinite import NonFiniteGuard
from training.pictures import FINAL_FRAMES, to_images, to_pixels
from training.run import Config, Run
from training.sample_grid import SampleGrid
from training.transfer import Pretrained, load_into

MEASURED_SHARE, MEASURED_SECONDS = 0.1, 30.0  # of a budget in minutes, how much is spent to measure the speed
CHECKPOINT_SECONDS = 300.0  # between checkpoints at most, however far apart the snapshots are


class StopSignal:
    """Set by the first Ctrl-C or SIGTERM: the current step is finished and saved. A second one stops at once."""

    requested = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle both signals while the block runs."""
        before = {number: signal.signal(number, self) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def make_order(dataset: Dataset, config: Config) -> DataOrder | ClassOrder:
    """Return the order in which a run sees its images.

    A critic that compares images sees groups of one class: between classes they differ in any case.
    """
    compared = config.recipe.critic.minibatch_std
    if dataset.labels is None or not (compared or config.recipe.balance):
        return DataOrder(len(dataset.images), config.seed)
    return ClassOrder(dataset.labels, config.seed, CLASS_GROUP if compared else 1, balance=config.recipe.balance)


class Trainer:
    """One run in progress: the GAN, how many images it has seen, and how many it has still to see."""

    def __init__(self, run: Run, config: Config, dataset: Dataset, device: Device, console: Console) -> None:
        torch.manual_seed(config.seed)
        self.run, self.config, self.recipe, self.console = run, config, config.recipe, console
        self.images = torch.from_numpy(dataset.images).to(device.torch)  # (N, C, S, S) uint8
        self.classes = tuple(dataset.report.classes)
        self.labels = torch.from_numpy(dataset.labels).to(device.torch) if dataset.labels is not None else None  # (N,)
        self.order = make_order(dataset, config)
        self.gan = GAN(self.recipe, device, len(self.classes))
        self.guard, self.health = NonFiniteGuard(self.gan), Health(self.gan.objective)
        self.grid = self._make_grid(dataset)
        self.reals = self.images[self.grid.reals]
        self.averages, self.logbook = Averages(), Logbook(run, console, self.grid.columns)
        self.seen = self.seen_before = 0  # now, and before the last step
        self.snapshot_seen, self.saved_at = -1, time.monotonic()  # images at the last snapshot; time of the checkpoint
        # A pretrained average is as old as its run: with a half-life ramped up from zero, one step would overwrite it.
        self.head_start = config.init_from.images_seen if config.init_from else 0
        # With a budget in minutes the number of images is fixed once, from the measured speed, and saved.
        self.total = None if config.minutes else round(self.recipe.kimg * 1000)
        distributed.seed_by_rank(config.seed)

    def _make_grid(self, dataset: Dataset) -> SampleGrid:
        """Return the places of the grids; what is there twice is shown, and compared with samples, once."""
        latent_dim = self.recipe.generator.latent_dim
        if dataset.labels is not None:
            return sample_grid.with_classes(latent_dim, dataset.labels)
        order = self.order.take(0, len(self.images))
        return sample_grid.without_classes(latent_dim, order[np.isin(order, dataset.distinct)])

    def start_from(self, pretrained: Pretrained) -> None:
        """Load another run's networks; saved at once, so that no resumed run needs that one."""
        load_into(pretrained, self.gan)
        self._save()

    def resume(self) -> None:
        """Restore the run's checkpoint, if it has one; raises InputError where it does not fit the recipe."""
        if distributed.on_first_rank(self.run.has_checkpoint):
            self._restore()
        distributed.on_first_rank(lambda: self.logbook.rewind(self.seen))

    def extend(self, kimg: float) -> None:
        """Train to a total of thousands of images, counted from the run's beginning; saved at once.

        Raises:
            InputError: the run has seen as many already.
        """
        if round(kimg * 1000) <= self.seen:
            raise InputError(
                f"--kimg {kimg:g}: {self.run.path} has seen {self.seen:,} images already; name more, from its beginning"
            )
        self.total = round(kimg * 1000)
        if self.seen:
            self._save_checkpoint()

    def _restore(self) -> None:
        state, warning = distributed.on_first_rank(self.run.load_checkpoint)
        if warning:
            self.console.print(warning, soft_wrap=True)
        try:
            self.gan.load_state_dict(state["gan"])
            for name, part in self._watchers().items():
                part.load_state_dict(state[name])
            self.grid = replace(self.grid, latents=state["latents"])
            self.seen, self.total = state["seen"], state["total"]
        except (KeyError, ValueError, RuntimeError) as error:
            raise InputError(f"{self.run.checkpoint} does not fit this run's recipe: {error}") from error
        if distributed.on_first_rank(lambda: self.run.has_generator(self.seen)):
            self.snapshot_seen = self.seen

    def train(self) -> bool:
        """Train to the end of the budget; return False where the user stopped it before. Either way all is saved."""
        if not self.seen:
            distributed.on_first_rank(lambda: self.logbook.reals(self.reals.cpu().numpy()))
            distributed.on_first_rank(self._draw)  # the timelapse begins with the untrained generator
        stop, stopped = StopSignal(), False
        with stop.installed(), progress_bar(self.console) as progress:
            task = progress.add_task(self.run.path.name, total=self.total, completed=self.seen, speed=0.0)
            started, before = time.perf_counter(), self.seen
            while (self.total is None or self.seen < self.total) and not stopped:
                self._advance()
                late = time.monotonic() - self.saved_at > CHECKPOINT_SECONDS
                stopped, late = distributed.any_rank(stop.requested, late)
                elapsed = time.perf_counter() - started
                speed = (self.seen - before) / elapsed
                if self.total is None:
                    self._fix_total(elapsed, speed)
                progress.update(task, completed=self.seen, total=self.total, speed=speed)
                self.logbook.progress(self.seen, self.total, speed)
                self._record(speed)
                self._save_if_due(late=late)
            if self.snapshot_seen != self.seen:
                self._save()
            if not stopped:
                distributed.on_first_rank(lambda: self.logbook.timelapse(FINAL_FRAMES))
        return not stopped

    def _advance(self) -> None:
        """Make one step on the next images."""
        self.gan.set_learning_rates(self.seen / self.total if self.total else 0.0)
        everyones = torch.from_numpy(self.order.take(self.seen, self.gan.images_per_step(self.seen)))
        share = torch.chunk(everyones, distributed.size())[distributed.rank()]  # whole groups of one class
        indices = share.to(self.images.device)
        reals = self.gan.device.place(to_images(self.images[indices]))
        labels = self.labels[indices] if self.labels is not None else None
        if self.recipe.images.flip:
            mirrored = torch.rand(len(reals), 1, 1, 1, device=reals.device) < 0.5
            reals = torch.where(mirrored, reals.flip(3), reals)
        try:
            stats = self.guard.run(lambda: self.gan.step(reals, self.seen + self.head_start, labels))
        except TrainingError as error:
            healthy = self.run.checkpoint if self.run.checkpoint.exists() else "none was saved yet"
            raise TrainingError(f"{error}; the last healthy checkpoint: {healthy}") from error
        if stats is not None:
            self.averages.add(stats)
        self.seen_before, self.seen = self.seen, self.seen + len(everyones)

    def _fix_total(self, elapsed: float, speed: float) -> None:
        """Fix how many images the budget in minutes allows, once enough of it is spent to know the speed."""
        elapsed, speed = distributed.on_first_rank(lambda: (elapsed, speed))  # one clock for all
        seconds = (self.config.minutes or 0) * 60
        if elapsed >= min(seconds * MEASURED_SHARE, MEASURED_SECONDS):
            self.total = max(round(speed * seconds), self.seen)
            self.console.print(f"{speed:,.0f} images/s: {self.total:,} images in {self.config.minutes:g} minutes")
            self._save()  # a run that is killed from here on keeps its schedule

    def _passed(self, interval: float) -> bool:
        """Return whether the last step crossed a multiple of ``interval`` images."""
        return self.seen // interval > self.seen_before // interval

    def _snapshot_images(self) -> float:
        return self.recipe.snapshot_images(len(self.images))

    def _record(self, speed: float) -> None:
        if self._passed(self.recipe.tick_images(self.total)):
            distributed.on_first_rank(lambda: self._tick(speed))
        if self._passed(self.recipe.picture_images()):
            distributed.on_first_rank(self._draw)

    def _tick(self, speed: float) -> None:
        row = {"images": self.seen, **self.averages.take(), **self._figures()}
        self.logbook.tick(row | {"images_per_second": round(speed, 1)}, self.health.warnings(row))

    def _draw(self) -> None:
        self.logbook.fakes(self.gan.sample(self.grid.latents, labels=self.grid.labels), self.seen)

    def _figures(self) -> dict[str, float]:
        """Return the figures of a tick that are no averages over its steps."""
        # As pixels: MKL's float32 tanh was seen to differ in its last bit between two runs, and the log must not.
        latents = self.grid.latents[: len(self.reals)]
        pixels = torch.from_numpy(to_pixels(self.gan.sample(latents, labels=self.grid.labels)))
        samples, reals = to_images(pixels), to_images(self.reals).cpu()
        figures = {name: figure(samples, reals) for name, figure in FIGURES.items()}
        return figures | {"skipped_steps": self.guard.take_skipped()}

    def _watchers(self) -> dict[str, Averages | NonFiniteGuard | Health]:
        return {"averages": self.averages, "guard": self.guard, "health": self.health}

    def _save_if_due(self, *, late: bool) -> None:
        """Save a snapshot where the recipe asks for one, or else a checkpoint where the last one is too old.

        Not while steps are skipped: ten in a row end the run, whose checkpoints are all healthy.
        """
        if self.guard.in_a_row:
            return
        if self._passed(self._snapshot_images()):
            self._save()
        elif late:
            self._save_checkpoint()

    def _save(self) -> None:
        """Save a snapshot and a checkpoint."""
        distributed.on_first_rank(self._write_snapshot)
        self.snapshot_seen = self.seen
        self._save_checkpoint()

    def _write_snapshot(self) -> None:
        generator = self.gan.snapshot(self._labels_of_first(STATISTICS_LATENTS))
        samples = self.gan.sample(self.grid.latents, generator, self.grid.labels)
        self.logbook.snapshot(samples, self.seen)
        self.run.save_generator(generator, self.recipe, self.seen, self.classes)

    def _labels_of_first(self, number: int) -> Tensor | None:
        """Return the labels of the first images of the data's order, in which classes are as often as in training."""
        return None if self.labels is None else self.labels[torch.from_numpy(self.order.take(0, number))]

    def _save_checkpoint(self) -> None:
        state: dict[str, Any] = {
            "gan": self.gan.state_dict(),
            **{name: part.state_dict() for name, part in self._watchers().items()},
            "latents": self.grid.latents,
            "seen": self.seen,
            "total": self.total,
        }
        distributed.on_first_rank(lambda: self.run.save_checkpoint(state))
        self.saved_at = time.monotonic()
