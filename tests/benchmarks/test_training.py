import json

import pytest
import torch
from torch import nn

from benchmarks import textbook, training
from benchmarks.training import PAIRS
from training import device as devices
from training import networks
from training.device import Device

CPU = Device(torch.device("cpu"), bfloat16=False)


@pytest.fixture
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textbook, "WIDTH", 4)
    monkeypatch.setattr(textbook, "BATCH", 4)


@pytest.mark.usefixtures("_small")
def test_it_prints_a_table_and_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    training.main(turns=1, seconds=0)
    *table, line = capsys.readouterr().out.splitlines()
    assert [row.split()[0] for row in table] == ["images/s", *PAIRS]
    result = json.loads(line)
    assert result["device"] == str(devices.choose("cpu"))
    for speeds in result["images_per_second"].values():
        assert list(speeds) == ["textbook", "ours", "ours in float32"]
        assert min(speeds.values()) > 0


# The official example's counts and the 3 + 65 biases that it leaves out; without BatchNorm, a bias for its two numbers.
@pytest.mark.parametrize(("name", "critic"), [("dcgan", 2_765_568 + 65), ("wgan-gp", 2_765_568 - 896 + 65)])
def test_both_train_the_networks_of_the_official_example(name: str, critic: int) -> None:
    for implementation in training.implementations(name, CPU).values():
        assert [networks.count_parameters(network) for network in implementation.networks] == [3_576_704 + 3, critic]


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.usefixtures("_small")
def test_with_equal_weights_both_give_equal_images_and_scores(name: str) -> None:
    theirs, ours, _ = training.implementations(name, CPU).values()
    latents, images = torch.randn(4, textbook.LATENT_DIM), torch.randn(4, 3, 64, 64)
    for mine, their in zip(ours.networks, theirs.networks, strict=True):
        with torch.no_grad():
            for a, b in zip(mine.parameters(), their.parameters(), strict=True):
                a.copy_(b.reshape(a.shape))
    (our_generator, our_critic), (generator, critic) = ours.networks, theirs.networks
    torch.testing.assert_close(our_generator(latents), generator(latents[:, :, None, None]))
    scores = our_critic(images).sigmoid() if isinstance(critic[-1], nn.Sigmoid) else our_critic(images)
    torch.testing.assert_close(scores, critic(images).flatten())


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.usefixtures("_small")
def test_the_textbook_step_updates_every_kernel(name: str) -> None:
    implementation = training.implementations(name, CPU)["textbook"]
    kernels = [weight for network in implementation.networks for weight in network.parameters() if weight.ndim > 1]
    before = [kernel.detach().clone() for kernel in kernels]
    implementation.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, kernels, strict=True))
