import copy
import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.conftest import make_trainer, tiny_recipe
from tests.training.test_loop import equal
from training.errors import TrainingError
from training.loop import Trainer
from training.nonfinite import PATIENCE


@pytest.fixture
def trainer(tmp_path: Path) -> Trainer:
    # The article's networks have BatchNorm, whose statistics a bad step spoils as well as the weights.
    return make_trainer(tmp_path, tiny_recipe("cats", images__channels="1"))


def weights(trainer: Trainer) -> Any:
    """All that a step changes but for the random state and the count of steps, which a test asks for itself."""
    state = copy.deepcopy(trainer.gan.state_dict())
    return {name: state[name] for name in state if name not in ("rng", "steps")}


def spoil(trainer: Trainer, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """Let every later step go wrong, in its images or only in its gradients."""
    if how == "images":
        step = trainer.gan.step
        monkeypatch.setattr(trainer.gan, "step", lambda reals, *others: step(reals * torch.nan, *others))
    else:
        for network in (trainer.gan.generator, trainer.gan.critic):
            for weight in network.parameters():
                weight.register_hook(lambda gradient: gradient * torch.inf)


@pytest.mark.parametrize("how", ["images", "gradients"])
@pytest.mark.parametrize("steps_before", [0, 3])
def test_a_step_that_is_not_finite_changes_nothing(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, how: str, steps_before: int
) -> None:
    for _ in range(steps_before):
        trainer._advance()
    before, averages = weights(trainer), trainer.averages.state_dict()
    spoil(trainer, monkeypatch, how)
    trainer._advance()
    assert equal(before, weights(trainer))
    assert trainer.gan.steps == steps_before + 1  # a lazy penalty that was due is not tried again at once
    assert equal(averages, trainer.averages.state_dict())
    assert trainer.seen == 16 * (steps_before + 1)
    assert trainer.guard.take_skipped() == 1
    assert trainer.guard.take_skipped() == 0


def test_a_bad_gradient_of_the_generator_stops_it_alone(trainer: Trainer) -> None:
    trainer._advance()
    before = weights(trainer)
    last = list(trainer.gan.generator.parameters())[-1]
    last.register_hook(lambda gradient: gradient * torch.nan)
    trainer._advance()
    after = weights(trainer)
    changed = {name for name in before if not equal(before[name], after[name])}
    assert changed == {"critic", "critic_optimiser"}  # whose descent came first, and was sound
    assert all(tensor.isfinite().all() for tensor in after["critic"].values())
    assert trainer.guard.take_skipped() == 1


def test_critic_steps_before_the_bad_one_stay(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe("lotus", images__channels="1"))
    reals = torch.rand(80, 1, 16, 16)
    reals[32:48] = torch.nan  # the third of five batches
    assert trainer.guard.run(lambda: trainer.gan.step(reals, 0)) is None
    moments = trainer.gan.critic_optimiser.state.values()
    assert [int(moment["step"]) for moment in moments] == [2] * len(moments)
    assert not trainer.gan.generator_optimiser.state
    assert all(weight.isfinite().all() for weight in trainer.gan.critic.parameters())


@pytest.mark.parametrize("what", ["a figure of the log", "a statistic"])
def test_what_no_gradient_tells_of_is_seen_after_the_step(trainer: Trainer, what: str) -> None:
    before = copy.deepcopy(trainer.gan.critic.state_dict())

    def step() -> dict[str, torch.Tensor]:
        for buffer in trainer.gan.critic.buffers():
            buffer.add_(torch.inf if what == "a statistic" and buffer.is_floating_point() else 1)
        return {"critic_loss": torch.tensor(0.0 if what == "a statistic" else torch.inf)}

    assert trainer.guard.run(step) is None
    assert equal(before, dict(trainer.gan.critic.state_dict()))
    assert trainer.guard.take_skipped() == 1


def test_ten_in_a_row_end_the_run_and_name_the_last_healthy_checkpoint(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer._advance()
    trainer._save()
    spoil(trainer, monkeypatch, "images")
    with pytest.raises(TrainingError, match=rf"{PATIENCE} steps in a row were not finite.*checkpoint-latest\.pt") as e:
        trainer.train()
    assert e.value.exit_code == 1
    assert trainer.seen == 16 * PATIENCE  # the tenth is not counted any more
    saved, _ = trainer.run.load_checkpoint()
    assert saved["seen"] == 16
    assert all(tensor.isfinite().all() for tensor in saved["gan"]["generator"].values())


def test_a_good_step_ends_the_row(trainer: Trainer) -> None:
    trainer.guard.in_a_row = PATIENCE - 1
    trainer._advance()
    assert trainer.guard.in_a_row == 0


def test_a_penalty_that_is_never_finite_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe(objective__penalty_every="2"))
    bad = dataclasses.replace(
        trainer.gan.objective, penalty=lambda critic, reals, fakes: critic(reals).sum() * math.inf
    )
    monkeypatch.setattr(trainer.gan, "objective", bad)
    for _ in range(2 * PATIENCE):
        trainer._advance()
    assert trainer.guard.take_skipped() == PATIENCE  # every second step
