import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from tests import DIGITS, command_line
from tests.training.conftest import make_trainer, tiny_recipe
from training import loop, networks, sample_grid, transfer
from training.__main__ import main
from training.device import Device
from training.errors import InputError
from training.gan import GAN
from training.networks import CONDITIONAL_CRITICS, CONDITIONAL_GENERATORS, CRITICS, GENERATORS
from training.networks.styled import StyledGenerator
from training.objectives import OBJECTIVES
from training.recipe import Recipe

CPU = Device(torch.device("cpu"), bfloat16=False)
CLASSES = 5
LABELS = torch.tensor([3, 0, 1, 1, 4, 2])
ORDER = torch.tensor([2, 4, 0, 1, 3])  # new label of each class


def recipe_of(family: str = "styled", critic: str = "strided", **changes: str) -> Recipe:
    return tiny_recipe(generator__family=family, critic__family=critic, **changes)


def build(family: str, critic: str = "strided") -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    recipe = recipe_of(family, critic)
    return networks.build_generator(recipe, CLASSES).eval(), networks.build_critic(recipe, CLASSES).eval()


def drawn(generator: nn.Module, labels: Tensor = LABELS) -> Tensor:
    latents = torch.randn(len(labels), 16, generator=torch.Generator().manual_seed(1))
    images: Tensor = generator(latents, labels)
    return images


def renumber(network: Any) -> Any:
    """Return the network with its classes in another order."""
    other = copy.deepcopy(network)
    with torch.no_grad():
        other.embedding.weight[ORDER] = network.embedding.weight
    return other


@pytest.mark.parametrize("family", GENERATORS)
def test_every_generator_draws_classes(family: str) -> None:
    generator, _ = build(family)
    images = drawn(generator)
    assert images.shape == (6, 1, 16, 16)
    torch.testing.assert_close(drawn(renumber(generator), ORDER[LABELS]), images)
    other = drawn(generator, (LABELS + 1) % CLASSES)
    assert ((images - other).abs().amax(dim=(1, 2, 3)) > 0).all()


@pytest.mark.parametrize("family", CRITICS)
def test_every_critic_scores_classes(family: str) -> None:
    _, critic = build("styled", family)
    images = torch.randn(6, 1, 16, 16)
    scores = critic(images, LABELS)
    assert scores.shape == (6,)
    torch.testing.assert_close(renumber(critic)(images, ORDER[LABELS]), scores)
    assert not torch.allclose(critic(images, (LABELS + 1) % CLASSES), scores)
    critic.embedding.weight.data.zero_()  # type: ignore[union-attr, operator]
    torch.testing.assert_close(critic(images, LABELS), critic.critic(images))  # type: ignore[operator]


def test_a_family_without_classes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = tiny_recipe()
    assert set(CONDITIONAL_GENERATORS) == set(GENERATORS)
    assert set(CONDITIONAL_CRITICS) == set(CRITICS)
    for table, build_one in (
        (CONDITIONAL_GENERATORS, networks.build_generator),
        (CONDITIONAL_CRITICS, networks.build_critic),
    ):
        monkeypatch.delitem(table, "transposed" if table is CONDITIONAL_GENERATORS else "strided")
        with pytest.raises(InputError):
            build_one(recipe, CLASSES)
        build_one(recipe)


def test_a_latent_moves_the_styles_of_all_classes_equally() -> None:
    generator, _ = build("styled")
    assert isinstance(generator, StyledGenerator)
    assert generator.embedding is not None
    w, classes = generator.mapping(torch.randn(2, 16)), generator.embedding.weight[:2]
    affine = generator.styles[1].affine
    styles = [[affine(torch.cat([one, two])) for one in w] for two in classes]  # type: ignore[operator]
    torch.testing.assert_close(styles[0][0] - styles[0][1], styles[1][0] - styles[1][1])


def make_gan(bfloat16: bool = False, **changes: str) -> GAN:
    torch.manual_seed(0)
    return GAN(recipe_of(**changes), Device(torch.device("cpu"), bfloat16), CLASSES)


def batch(count: int) -> tuple[Tensor, Tensor]:
    reals = torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(5)) * 2 - 1
    return reals, torch.arange(count) % CLASSES


@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_step_of_every_objective_updates_both_networks(name: str, bfloat16: bool) -> None:
    penalty = "0" if name == "gan" else "1"
    gan = make_gan(
        bfloat16, objective__name=name, objective__penalty=penalty, augment="[colour,translation,cutout]", batch="16"
    )
    parts = (gan.generator, gan.critic)
    before = [[weight.detach().clone() for weight in part.parameters() if weight.ndim > 1] for part in parts]
    reals, labels = batch(16)
    stats = gan.step(reals, 0, labels)
    for was, part in zip(before, parts, strict=True):
        now = [weight for weight in part.parameters() if weight.ndim > 1]
        assert all(not torch.equal(a, b) for a, b in zip(was, now, strict=True))
    assert all(value.isfinite() for value in stats.values())


def test_a_generated_image_has_the_class_of_the_real_one_at_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    gan = make_gan(objective__name="wgan-gp", objective__penalty_every="1", objective__critic_steps="2")
    reals, labels = batch(32)
    asked: dict[str, list[Tensor]] = {"generator": [], "critic": []}
    for name, calls in asked.items():
        network = getattr(gan, name)
        network.register_forward_pre_hook(
            lambda _, given, named, calls=calls: calls.append([*given[1:], *named.values()][0]), with_kwargs=True
        )
    gan.step(reals, 0, labels)
    first, second = labels[:16], labels[16:]
    assert [one.tolist() for one in asked["generator"]] == [first.tolist(), second.tolist()]
    both = [first.repeat(2), first, second.repeat(2), second, second]  # scores and penalty, twice; the generator's
    assert [one.tolist() for one in asked["critic"]] == [one.tolist() for one in both]


def test_the_classes_are_learned() -> None:
    gan = make_gan(optimiser__generator_lr="2e-3", optimiser__critic_lr="2e-3", objective__penalty="0.1")
    labels = torch.arange(16) % 2
    reals = (labels * 1.6 - 0.8)[:, None, None, None].expand(16, 1, 16, 16).contiguous()  # dark and bright ones
    for i in range(60):
        gan.step(reals, 16 * i, labels)
    images = gan.sample(torch.randn(64, 16), labels=torch.arange(64) % 2)
    assert images[1::2].mean() - images[::2].mean() > 0.8


class StopAfter(loop.StopSignal):
    """Stops a run as Ctrl-C does, after some steps."""

    left = 12

    @property
    def requested(self) -> bool:  # type: ignore[override]
        self.left -= 1
        return self.left < 0


def test_a_conditional_run_resumes_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = recipe_of(balance="true", objective__name="r3gan")
    whole = make_trainer(tmp_path / "a", recipe, classes="idx")
    assert whole.train()
    stopped = make_trainer(tmp_path / "b", recipe, classes="idx")
    with monkeypatch.context() as patched:
        patched.setattr(loop, "StopSignal", StopAfter)
        assert not stopped.train()
    resumed = make_trainer(tmp_path / "c", recipe, classes="idx")
    resumed.run = stopped.run
    resumed.resume()
    assert 0 < resumed.seen < 320
    assert resumed.train()
    for mine, theirs in zip(whole.gan.average.parameters(), resumed.gan.average.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_run_keeps_the_names_of_its_classes_and_draws_a_row_for_each(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, recipe_of(kimg="0.08"), classes="idx")
    trainer.train()
    assert list(trainer.run.report().classes) == [*"0123456789"]
    snapshot = trainer.run.load_generator()
    assert snapshot.classes == tuple("0123456789")
    assert Image.open(trainer.run.path / "fakes-000000080.png").size == (8 * 16, 10 * 16)
    assert Image.open(trainer.run.path / "reals.png").size == (8 * 16, 10 * 16)
    out = tmp_path / "grid.png"
    rows = command_line.run(
        main, "sample", trainer.run.path, "--seeds", "5,6,7", "--class", "3", "--class", "1", "--out", out
    )
    assert rows.returncode == 0, rows.stderr
    latents = np.stack([np.random.RandomState(seed).randn(16) for seed in (5, 6, 7)]).astype(np.float32)
    expected = snapshot.generator(torch.from_numpy(latents), torch.tensor([1, 1, 1]))  # the second row
    pixels = ((expected[:, 0] + 1) * 127.5).round().permute(1, 0, 2).reshape(16, 48).numpy()
    np.testing.assert_allclose(np.asarray(Image.open(out))[16:], pixels, atol=1)
    refused = command_line.run(main, "sample", trainer.run.path, "--class", "11")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_a_seed_without_a_class_draws_one_after_its_latent(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, recipe_of(kimg="0.08"), classes="idx")
    trainer.train()
    random = np.random.RandomState(42)
    latent, label = random.randn(1, 16).astype(np.float32), random.randint(10)
    snapshot = trainer.run.load_generator()
    expected = ((snapshot.generator(torch.from_numpy(latent), torch.tensor([label])) + 1) * 127.5).round()
    out = tmp_path / "grid.png"
    command_line.run(main, "sample", trainer.run.path, "--seeds", "42", "--out", out)
    np.testing.assert_allclose(np.asarray(Image.open(out)), expected[0, 0].numpy(), atol=1)


def test_a_column_of_a_grid_is_one_latent_and_many_classes_are_sixteen_rows() -> None:
    for count, rows in ((3, 3), (32, 32), (200, 16)):
        grid = sample_grid.with_classes(7, np.repeat(np.arange(count), 2))
        assert grid.labels is not None
        latents, labels = grid.latents.reshape(rows, 8, 7), grid.labels.reshape(rows, 8)
        assert (latents == latents[:1]).all()
        assert (labels == labels[:, :1]).all()
        assert len(set(labels[:, 0].tolist())) == rows
        assert np.array_equal(np.repeat(np.arange(count), 2)[grid.reals], grid.labels.numpy())


def test_other_classes_do_not_resume_a_run(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, recipe_of(kimg="0.08"), classes="idx")
    trainer.train()
    data = trainer.run.path / "data.json"
    report = json.loads(data.read_text())
    data.write_text(json.dumps(report | {"labels": "0" * 64}))
    result = command_line.run(main, "train", "--resume", trainer.run.path)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)


def test_a_balance_without_classes_is_refused(tmp_path: Path) -> None:
    command = ["train", "--data", DIGITS, "--set", "balance=true", "--out", tmp_path]
    result = command_line.run(main, *command)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)


def test_a_run_with_classes_starts_from_one_without(tmp_path: Path) -> None:
    recipe = recipe_of("transposed", kimg="0.08")
    before, after = make_trainer(tmp_path / "a", recipe), make_trainer(tmp_path / "b", recipe, classes="idx")
    before.train()
    pretrained = transfer.read(before.run.path)
    assert "parameters of the generator" in transfer.describe(pretrained, recipe, 10)
    transfer.load_into(pretrained, after.gan)
    assert torch.equal(after.gan.critic.critic[0].weight, before.gan.critic[0].weight)  # type: ignore[index,union-attr]
    assert torch.equal(after.gan.generator.generator[-2].weight, before.gan.generator[-2].weight)  # type: ignore[index,union-attr]


def test_a_run_without_classes_starts_from_one_with_them(tmp_path: Path) -> None:
    recipe = recipe_of("transposed", kimg="0.08")
    before, after = make_trainer(tmp_path / "a", recipe, classes="idx"), make_trainer(tmp_path / "b", recipe)
    before.train()
    transfer.load_into(transfer.read(before.run.path), after.gan)
    assert torch.equal(after.gan.critic[0].weight, before.gan.critic.critic[0].weight)  # type: ignore[index,union-attr]


def test_there_may_be_a_thousand_classes() -> None:
    torch.manual_seed(0)
    gan = GAN(recipe_of(critic__minibatch_std="true"), CPU, 1000)
    reals, _ = batch(16)
    stats = gan.step(reals, 0, torch.tensor([0, 999] * 8))
    assert all(value.isfinite() for value in stats.values())
    assert gan.sample(torch.randn(2, 16), labels=torch.tensor([5, 998])).shape == (2, 1, 16, 16)
