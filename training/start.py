"""Begin, resume and extend runs: what ``train`` does once its options are read."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from training import device as devices
from training import distributed, evaluate, expect, images, plan, report, transfer
from training.conclusion import conclude, resume_hint
from training.device import Device
from training.errors import DiskError, InputError
from training.images import Dataset
from training.loop import Trainer
from training.run import Config, Run
from training.transfer import Pretrained

WORTH_SECONDS = 60.0  # of training, from which on a run's samples are scored at its end, which takes some seconds


class Ended(NamedTuple):
    """How a run ended."""

    finished: bool  # to its end, not stopped by the user
    run: Path | None  # its folder; None for a dry run


def begin(out: Path, config: Config, init_from: Path | None, console: Console, *, dry_run: bool) -> Ended:
    """Train in a new folder below ``out``, from the networks of another run if there is one."""
    if config.recipe.critic.frozen and init_from is None:
        raise InputError("critic.frozen without --init-from would freeze random layers; add --init-from RUN")
    pretrained = _read_pretrained(init_from) if init_from else None
    if pretrained:
        config = config.model_copy(update={"init_from": pretrained.origin})
    device, dataset = _prepare(config, console, pretrained, dry_run=dry_run)
    if distributed.size() == 1 and (dry_run or config.minutes):
        speed = plan.images_per_second(config.recipe, device, len(dataset.report.classes))
        lines = plan.estimate(config.recipe, dataset.report.count, device, speed) if dry_run else ()
        _print([*lines, *expect.lines(config, speed)], console)
    else:
        _print(expect.lines(config), console)
    if dry_run:
        return Ended(True, None)
    run = distributed.on_first_rank(lambda: Run.create(out, config))
    trainer = _trainer(run, config, dataset, device, console)
    return _train(trainer, dataset, pretrained)


def resume(path: Path, data: Path | None, kimg: float | None, console: Console, *, dry_run: bool) -> Ended:
    """Resume a run from its checkpoint, or from the beginning where it has none.

    Args:
        path: the run folder.
        data: where its images are now, if they were moved.
        kimg: the images of the whole run, if it is to see more than it was begun with.
        console: for a person.
        dry_run: print the plan only.
    """
    run = distributed.on_first_rank(lambda: Run.open(path))
    config = _changed(distributed.on_first_rank(run.config), data, kimg)
    begun = distributed.on_first_rank(run.has_checkpoint)
    pretrained = _read_pretrained(Path(config.init_from.path)) if config.init_from and not begun else None
    device, dataset = _prepare(config, console, pretrained, dry_run=dry_run)
    if begun and distributed.on_first_rank(run.report).identity != dataset.report.identity:
        raise InputError(f"{config.data} does not contain the images and classes that {run.path} was trained on")
    if dry_run:
        speed = plan.images_per_second(config.recipe, device, len(dataset.report.classes))
        _print(plan.estimate(config.recipe, dataset.report.count, device, speed), console)
        return Ended(True, None)
    trainer = _trainer(run, config, dataset, device, console)
    trainer.resume()
    if kimg:
        trainer.extend(kimg)
    distributed.on_first_rank(lambda: run.write_text("config.json", config.model_dump_json(indent=2)))
    return _train(trainer, dataset, pretrained)


def _changed(config: Config, data: Path | None, kimg: float | None) -> Config:
    changes: dict[str, Any] = {"data": str(data.absolute())} if data else {}
    if kimg:
        changes |= {"minutes": None, "recipe": config.recipe.model_copy(update={"kimg": kimg})}
    return config.model_copy(update=changes)


def _read_pretrained(path: Path) -> Pretrained:
    return distributed.on_first_rank(lambda: transfer.read(path))


def _prepare(
    config: Config, console: Console, pretrained: Pretrained | None, *, dry_run: bool
) -> tuple[Device, Dataset]:
    """Choose the device, read the images and print the plan."""
    if dry_run and distributed.size() > 1:
        raise InputError("--dry-run runs in one process; start it without torchrun")
    distributed.check_batch(config.recipe.batch, groups=config.recipe.critic.minibatch_std)
    device = distributed.on_all_ranks(lambda: devices.choose(config.device))
    dataset = distributed.on_all_ranks(lambda: images.read(Path(config.data), config.recipe.images, config.classes))
    if config.recipe.balance and not dataset.report.classes:
        raise InputError("balance=true is about classes; add --classes, or set balance=false")
    if len(set(distributed.gather(dataset.report.identity))) > 1:
        raise InputError(f"{config.data} does not contain the same images for all processes")
    plan.show(config, dataset.report, device, console, fields=dry_run)
    if pretrained:
        classes = len(dataset.report.classes)
        console.print(transfer.describe(pretrained, config.recipe, classes), soft_wrap=True, markup=False)
    return device, dataset


def _trainer(run: Run, config: Config, dataset: Dataset, device: Device, console: Console) -> Trainer:
    distributed.on_first_rank(lambda: run.write_text("data.json", dataset.report.model_dump_json(indent=2)))
    return Trainer(run, config, dataset, device, console)


def _train(trainer: Trainer, dataset: Dataset, pretrained: Pretrained | None) -> Ended:
    run, began = trainer.run, time.monotonic()
    try:
        if pretrained:
            trainer.start_from(pretrained)
        finished = trainer.train()
    except DiskError as error:
        raise DiskError(f"{error}{resume_hint(run)}") from error
    judged = finished and time.monotonic() - began > WORTH_SECONDS
    distributed.on_first_rank(lambda: _conclude(trainer, dataset if judged else None, finished=finished))
    distributed.shutdown()
    return Ended(finished, run.path)


def _conclude(trainer: Trainer, dataset: Dataset | None, *, finished: bool) -> None:
    """Score a few samples where there is a data set to compare them with, and conclude the run."""
    run, console = trainer.run, trainer.console
    if dataset:
        _evaluate(run, dataset, console)
    conclude(run, console, finished=finished)


def _evaluate(run: Run, dataset: Dataset, console: Console) -> None:
    if result := evaluate.evaluate_run(run, dataset):
        evaluate.save(result, run.path / report.EVALUATION)
        _print(result.sentences(), console)


def _print(lines: Iterable[str], console: Console) -> None:
    for line in lines:
        console.print(line, soft_wrap=True, markup=False)
