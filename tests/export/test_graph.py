import onnxruntime as ort
import pytest
import torch
from torch import nn

from export.errors import ExportError
from export.graph import Pixels, fold_batch_norm, trace
from training import networks
from training import recipe as recipes


def trained(name: str, size: int = 16, **settings: object) -> nn.Module:
    """A generator whose BatchNorm has seen something, so that a wrong fold would show."""
    torch.manual_seed(3)
    changes = ["generator.width=8", *(f"{key.replace('__', '.')}={value}" for key, value in settings.items())]
    generator = networks.build_generator(recipes.load(name, changes, images__size=size))
    for layer in generator.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.2, 3)
            nn.init.normal_(layer.bias)
    return generator.eval().requires_grad_(False)


@pytest.mark.parametrize("name", recipes.names())
def test_folding_changes_nothing_but_the_layers(name: str) -> None:
    generator = trained(name, size=32)
    latents = torch.randn(5, recipes.load(name).generator.latent_dim)
    folded = fold_batch_norm(generator)
    torch.testing.assert_close(folded(latents), generator(latents), atol=1e-5, rtol=0)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in folded.modules())


def test_a_batch_norm_that_no_convolution_can_take_up_is_refused() -> None:
    with pytest.raises(ExportError, match="BatchNorm follows ReLU"):
        fold_batch_norm(nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))


@pytest.mark.parametrize("name", ["digits", "lotus"])
def test_the_graph_is_plain_dynamic_in_its_batch_and_silent_about_this_machine(name: str) -> None:
    latent_dim = recipes.load(name).generator.latent_dim
    model = trace(Pixels(fold_batch_norm(trained(name))), latent_dim)
    assert {node.domain for node in model.graph.node} == {""}
    assert not {"BatchNormalization", "Dropout"} & {node.op_type for node in model.graph.node}
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    channels = recipes.load(name).images.channels
    for batch in (1, 3, 16):
        (images,) = session.run(None, {"latent": torch.randn(batch, latent_dim).numpy()})
        assert images.shape == (batch, 16, 16, channels)
        assert images.dtype == "uint8"
    assert b"site-packages" not in model.SerializeToString()


def test_the_head_scales_clamps_rounds_and_moves_channels_last() -> None:
    levels = torch.tensor([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0]).reshape(1, 3, 1, 2)
    (pixels,) = Pixels(nn.Identity())(levels)
    assert pixels.tolist() == [[[0, 64, 191], [0, 128, 255]]]  # (1, 2, 3): 63.75, 127.5 and 191.25 rounded
