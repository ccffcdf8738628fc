import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.conftest import make_trainer, tiny_recipe
from training import transfer
from training.errors import InputError
from training.loop import Trainer
from training.recipe import Recipe
from training.run import Run


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of 320 images, whose average is not its generator."""
    trainer = make_trainer(tmp_path_factory.mktemp("source"), tiny_recipe())
    for _ in range(20):
        trainer._advance()
    for weight in trainer.gan.average.parameters():
        weight += 0.01  # much further than so short a run brings it
    trainer._save()
    return trainer.run


def networks_of(trainer: Trainer) -> dict[str, Any]:
    gan = trainer.gan
    return {"generator": gan.generator, "average": gan.average, "critic": gan.critic}


def started(out: Path, recipe: Recipe, source: Run) -> Trainer:
    read = transfer.read(source.path)
    trainer = make_trainer(out, recipe, seed=7, init_from=read.origin)
    trainer.start_from(read)
    return trainer


def test_all_networks_are_taken_where_all_fits_and_all_else_starts_anew(tmp_path: Path, source: Run) -> None:
    saved = source.load_checkpoint()[0]
    trainer = started(tmp_path, tiny_recipe(), source)
    for name, network in networks_of(trainer).items():
        assert all(torch.equal(tensor, saved["gan"][name][key]) for key, tensor in network.state_dict().items())
    assert trainer.seen == trainer.gan.steps == 0
    assert not trainer.gan.generator_optimiser.state
    assert not trainer.gan.critic_optimiser.state
    assert trainer.run.config().init_from == transfer.InitFrom(path=str(source.path.absolute()), images_seen=320)


def test_only_what_fits_is_taken_and_a_sentence_says_how_much(tmp_path: Path, source: Run) -> None:
    recipe = tiny_recipe(generator__latent_dim="24", critic__minibatch_std="false")
    saved = source.load_checkpoint()[0]["gan"]
    fresh, trainer = make_trainer(tmp_path, recipe, seed=7), started(tmp_path, recipe, source)
    shares = []
    for name, network in networks_of(trainer).items():
        new = networks_of(fresh)[name].state_dict()
        fits = {key for key, tensor in new.items() if key in saved[name] and saved[name][key].shape == tensor.shape}
        assert 0 < len(fits) < len(new)
        for key, tensor in network.state_dict().items():
            assert torch.equal(tensor, saved[name][key] if key in fits else new[key])
        weights = dict(network.named_parameters())
        counts = [sum(weights[key].numel() for key in keys & weights.keys()) for keys in (fits, weights.keys())]
        shares.append(f"{counts[0]:,} of {counts[1]:,}")
    sentence = transfer.describe(transfer.read(source.path), recipe)
    assert sentence.startswith(f"init-from {source.path} at 320 images seen: {shares[0]} parameters of the generator")
    assert f"and {shares[2]} of the critic are loaded" in sentence


def test_a_checkpoint_file_serves_as_well_as_its_run(source: Run) -> None:
    assert transfer.read(source.checkpoint).origin.images_seen == transfer.read(source.path).origin.images_seen == 320


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generator__width": "12"}, "no layer of its generator fits this run's; make generator.family, "),
        ({"generator__family": "upsample"}, "no layer of its generator fits"),
        ({"critic__width": "12"}, "no layer of its critic fits this run's; make critic.width of"),
        ({"images__channels": "3", "critic__frozen": "1"}, "critic.frozen=1 would freeze layers that do not fit"),
    ],
)
def test_a_source_that_does_not_fit_is_refused(source: Run, changes: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        transfer.describe(transfer.read(source.path), tiny_recipe(**changes))


def test_what_holds_no_networks_is_refused(tmp_path: Path, source: Run) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        transfer.read(tmp_path)
    with pytest.raises(InputError, match=r"checkpoint-latest\.pt does not exist"):
        transfer.read(make_trainer(tmp_path, tiny_recipe()).run.path)
    with pytest.raises(InputError, match=r"config\.json is damaged or was not written"):
        transfer.read(source.path / "config.json")
    (snapshot,) = source.path.glob("generator-*.pt")
    with pytest.raises(InputError, match="is no checkpoint of a run"):
        transfer.read(snapshot)


def test_the_average_is_kept_and_not_overwritten_by_the_first_step(tmp_path: Path, source: Run) -> None:
    still = tiny_recipe(optimiser__generator_lr="1e-30", optimiser__critic_lr="1e-30")
    trainer = started(tmp_path, still, source)
    latents = torch.randn(64, 16)
    # Close, and not equal: channels last and not, they may be drawn by other kernels.
    drawn = trainer.gan.sample(latents, trainer.gan.snapshot())
    torch.testing.assert_close(drawn, source.load_generator().generator(latents))
    raw, before = (
        [weight.detach().clone() for weight in network.parameters()]
        for network in (trainer.gan.generator, trainer.gan.average)
    )
    trainer._advance()
    assert all(torch.equal(a, b) for a, b in zip(raw, trainer.gan.generator.parameters(), strict=True))
    # 336 images are behind it by then, a half-life of 16.8: this step of 16 moves it about half way.
    kept = 0.5 ** (16 / 16.8)
    for now, was, target in zip(trainer.gan.average.parameters(), before, raw, strict=True):
        torch.testing.assert_close(now, target + (was - target) * kept)
        assert not torch.allclose(now, target)


def test_a_run_killed_at_its_start_goes_on_bit_for_bit_without_its_source(tmp_path: Path, source: Run) -> None:
    copy = Run(tmp_path / "copy")
    shutil.copytree(source.path, copy.path)
    recipe = tiny_recipe(critic__frozen="1")
    whole = started(tmp_path, recipe, copy)
    first = whole.run.checkpoint.read_bytes()
    shutil.rmtree(copy.path)
    resumed = make_trainer(tmp_path, recipe, seed=7, init_from=whole.config.init_from)
    resumed.run.checkpoint.write_bytes(first)
    resumed.resume()
    random_state = torch.get_rng_state()
    for trainer in (resumed, whole):
        torch.set_rng_state(random_state)  # one process here, where a killed run has its own
        for _ in range(3):
            trainer._advance()
    for a, b in zip(networks_of(whole).values(), networks_of(resumed).values(), strict=True):
        assert all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
