"""The contract's operator list admits every graph that export and optimize write."""

from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn

from export.batch_norm import fold_batch_norm
from export.surgery import fold_constants
from service.contract.operators import problem_of
from service.contract.shapes import infer, read_stored
from training.networks.styled import StyledGenerator, on_sphere


class Conditioned(nn.Module):
    """A styled generator with all inputs of schema 2."""

    def __init__(self, generator: StyledGenerator) -> None:
        super().__init__()
        self.generator, self.classes = generator, nn.Embedding(10, 16)
        self.basis = nn.Parameter(torch.randn(5, 16))

    def forward(self, latent: Tensor, label: Tensor, truncation: Tensor, directions: Tensor) -> Tensor:
        """Map latent (N, Z), label (N,), truncation (N,) and directions (N, K) to images in [-1, 1]."""
        z = on_sphere(latent + self.classes(label))
        w = self.generator.mapping(z)
        w = self.generator.w_mean + truncation[:, None] * (w - self.generator.w_mean) + directions @ self.basis
        images: Tensor = self.generator.synthesise(z, w)
        return (images + 1).clamp(0, 2).round().to(torch.uint8).permute(0, 2, 3, 1)


def refusals(model: onnx.ModelProto) -> list[Any]:
    model = onnx.load_model_from_string(model.SerializeToString())
    stored = read_stored(model.graph)
    found = [one for one in (problem_of(node, stored) for node in model.graph.node) if one]
    infer(model, stored)
    return found


@pytest.mark.slow
def test_labels_truncation_and_directions_pass_the_check() -> None:
    module = Conditioned(StyledGenerator(16, [16, 8], 4, 3)).eval()
    inputs = (torch.zeros(2, 16), torch.zeros(2, dtype=torch.int64), torch.ones(2), torch.zeros(2, 5))
    batch = torch.export.Dim("N")
    program = torch.onnx.export(
        module,
        inputs,
        input_names=["latent", "label", "truncation", "directions"],
        output_names=["image"],
        opset_version=20,
        dynamic_shapes=({0: batch},) * 4,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    assert refusals(fold_batch_norm(fold_constants(program.model_proto))) == []
