import json
from pathlib import Path

import pytest
import torch

from training.configs import ObjectiveConfig
from training.health import MODE_COLLAPSE, OVERFITTING, Health, diversity
from training.health import WARM_UP_IMAGES as WARM
from training.objectives import build


def images(number: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(number, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_diversity_is_one_for_the_same_images_and_zero_for_one_image_repeated() -> None:
    assert diversity(images(64), images(64)) == 1
    assert diversity(images(1).expand(64, -1, -1, -1), images(64)) == 0


def test_diversity_is_zero_for_four_images_repeated() -> None:
    assert diversity(images(4).repeat(16, 1, 1, 1), images(64)) == 0


def test_diversity_scales_with_the_distance_between_images() -> None:
    corners = torch.zeros(3, 1, 16, 16)
    corners[1, :, :8] = 1
    corners[2, :, 8:] = 1
    assert diversity(corners * 0.25, corners) == pytest.approx(0.25)


def row(seen: int, **figures: float) -> dict[str, float]:
    well = {"diversity": 1.0, "real_sign": 0.8, "fake_sign": -0.8, "skipped_steps": 0.0}
    return {"images": float(seen), **well, **figures}


def health_of(objective: str) -> Health:
    return Health(build(ObjectiveConfig(name=objective)))


def test_a_warning_is_given_once_per_crossing_of_the_threshold() -> None:
    health = health_of("dcgan")
    said = [len(health.warnings(row(WARM + i, diversity=d))) for i, d in enumerate([1, 0.1, 0.1, 1, 0.1])]
    assert said == [0, 1, 0, 0, 1]


def test_a_warning_names_the_problem_and_a_remedy() -> None:
    (sentence,) = health_of("dcgan").warnings(row(WARM, diversity=0.123))
    assert "mode collapse: the diversity of the samples is 0.12 of that of training images" in sentence
    assert "try lower learning rates" in sentence


def test_the_measured_failing_runs_warn_and_the_healthy_ones_do_not() -> None:
    """The extremes of docs/health.md: three healthy runs, then a collapsed one and one that overfitted."""
    for diversity_, sign, loss in [(0.86, 0.24, 1.5), (0.93, 0.24, 1.8), (0.96, 0.59, 1.7)]:
        assert health_of("dcgan").warnings(row(WARM, diversity=diversity_, real_sign=sign, generator_loss=loss)) == []
    assert len(health_of("dcgan").warnings(row(WARM, diversity=0.02, real_sign=1.0, generator_loss=419.0))) == 3
    assert len(health_of("dcgan").warnings(row(WARM, diversity=0.48, real_sign=0.95, generator_loss=7.1))) == 1


@pytest.mark.parametrize(
    ("objective", "healthy", "collapsed"),
    [
        ("dcgan", (0.79, 0.43, 1.2), (0.44, 0.93, 95667)),
        ("wgan-gp", (0.96, 1.0, 0.8), (0.04, -1.0, 2e13)),
        ("r3gan", (0.90, 0.84, 2.8), (0.65, 1.0, 234000)),
    ],
)
def test_on_photos_collapsed_runs_of_every_objective_warn_and_healthy_ones_do_not(
    objective: str, healthy: tuple[float, float, float], collapsed: tuple[float, float, float]
) -> None:
    """The extremes of the second table of docs/health.md."""

    def warnings(diversity_: float, sign: float, loss: float) -> list[str]:
        return health_of(objective).warnings(row(WARM, diversity=diversity_, real_sign=sign, generator_loss=loss))

    assert warnings(*healthy) == []
    assert warnings(*collapsed)


def test_low_diversity_and_overfitting_warn_only_after_the_warm_up() -> None:
    health = health_of("dcgan")
    said = [len(health.warnings(row(seen, diversity=0.1, real_sign=1.0))) for seen in (1000, 2000, WARM, WARM + 1)]
    assert said == [0, 0, 2, 0]


def test_what_lasts_and_gets_no_better_warns_before_the_warm_up() -> None:
    """The critic that knew every photo of a run of 15 minutes, and samples that were alike from the start."""
    for figure in ({"real_sign": 1.0}, {"diversity": 0.02}):
        health = health_of("dcgan")
        said = [len(health.warnings(row(seen, **figure))) for seen in range(1000, 12000, 1000)]
        assert said == [0] * 8 + [1, 0, 0]


def test_what_gets_better_or_does_not_last_does_not_warn_before_the_warm_up() -> None:
    for figures in (
        [{"real_sign": 1 - i / 1000} for i in range(12)],
        [{"diversity": 0.1 + i / 100} for i in range(12)],
        [{"real_sign": 1.0 if i % 2 else 0.8} for i in range(12)],
        [{"diversity": 0.2} for _ in range(12)],
    ):
        health = health_of("dcgan")
        assert not any(health.warnings(row(1000 * i, **figure)) for i, figure in enumerate(figures))


@pytest.mark.parametrize("model", ["cats", "lotus", "emoji"])
def test_the_shipped_runs_did_not_warn(model: str) -> None:
    log = Path(__file__).parents[2] / "docs" / "gallery" / f"{model}.jsonl"
    health = health_of("r3gan")
    assert not any(health.warnings(json.loads(line)) for line in log.read_text().splitlines())


@pytest.mark.parametrize(
    ("losses", "warns"),
    [
        ((0.492, 0.164, 0.284, 0.246, 0.095, 0.076, 0.067, 0.099, 0.079, 0.095, 0.111, 0.162, 0.197, 0.251), False),
        ((0.491, 0.156, 0.270, 0.156, 0.047, 0.021, 0.018, 0.022, 0.023, 0.025, 0.040, 0.047, 0.052, 0.111), True),
    ],
)
def test_a_relativistic_critic_that_is_sure_for_long_warns(losses: tuple[float, ...], warns: bool) -> None:
    """Of docs/health.md: 400 digits with a penalty, and without."""
    health = health_of("r3gan")
    assert any(health.warnings(row(2000 * i, critic_loss=loss)) for i, loss in enumerate(losses, 1)) == warns


def test_the_loss_of_a_critic_without_pairs_is_not_checked() -> None:
    assert health_of("dcgan").warnings(row(WARM, critic_loss=0.01)) == []
    assert health_of("wgan-gp").warnings(row(WARM, critic_loss=-5.0)) == []
    assert len(health_of("r3gan").warnings(row(WARM, critic_loss=0.01))) == 1


def test_skipped_steps_and_divergence_warn_from_the_first_tick() -> None:
    health = health_of("dcgan")
    assert "3 steps were skipped" in health.warnings(row(10, skipped_steps=3))[0]
    assert "the generator's loss is 74" in health.warnings(row(20, generator_loss=74.5))[0]


def test_overfitting_is_not_checked_for_objectives_without_signed_scores() -> None:
    assert health_of("wgan-gp").warnings(row(WARM, real_sign=1.0, fake_sign=1.0)) == []


def test_a_tick_with_only_skipped_steps_is_handled() -> None:
    assert len(health_of("dcgan").warnings({"images": 10, "diversity": 1.0, "skipped_steps": 5})) == 1


def test_active_alarms_are_restored_from_a_checkpoint() -> None:
    health, resumed = health_of("dcgan"), health_of("dcgan")
    health.warnings(row(WARM, diversity=MODE_COLLAPSE.threshold - 0.1, real_sign=OVERFITTING.threshold + 0.01))
    resumed.load_state_dict(health.state_dict())
    assert resumed.warnings(row(WARM + 10, diversity=0.1, real_sign=1.0)) == []


def test_a_resumed_run_knows_how_long_a_figure_has_lasted() -> None:
    health, resumed = health_of("dcgan"), health_of("dcgan")
    for seen in range(1000, 9000, 1000):
        health.warnings(row(seen, real_sign=1.0))
    resumed.load_state_dict(health.state_dict())
    assert resumed.warnings(row(9000, real_sign=1.0)) == health.warnings(row(9000, real_sign=1.0)) != []


def test_the_state_of_an_older_checkpoint_is_read() -> None:
    health = health_of("dcgan")
    health.load_state_dict({"ringing": ["diversity"]})
    assert health.warnings(row(WARM, diversity=0.1)) == []
