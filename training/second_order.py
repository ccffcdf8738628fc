"""A critic's second derivatives, which a gradient penalty needs, without the detours that torch takes to them.

torch differentiates a convolution's backward pass by a convolution whose kernels are whole feature maps, which no
library is made for, and sends the zeros of LeakyReLU's second derivative back through every layer. Here that backward
pass is a transposed convolution, whose own derivatives are fast (StyleGAN's conv2d_gradfix does it for GPUs), and the
zeros are left out.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


class TwiceDifferentiable(TorchFunctionMode):
    """Networks called within it have a gradient by their images that is fast to differentiate again.

    It is to be taken by the images alone, with ``create_graph=True``; by the weights it would be None.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Put the two functions below in the place of torch's."""
        return _REPLACED.get(func, func)(*args, **(kwargs or {}))


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        stride: Pair,
        padding: Pair,
        dilation: Pair,
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding, dilation, groups
        return functional.conv2d(x, weight, bias, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        stride, padding, dilation, groups = ctx.geometry
        if not torch.is_grad_enabled():  # the last pass, through all weights
            sizes, outputs = [len(weight)], ctx.needs_input_grad[:3]
            geometry = stride, padding, dilation, False, (0, 0), groups
            return *torch.ops.aten.convolution_backward(gradient, x, weight, sizes, *geometry, outputs), *[None] * 4
        rest = [
            (size + 2 * p - d * (kernel - 1) - 1) % s
            for size, kernel, s, p, d in zip(x.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
        ]
        by_x = functional.conv_transpose2d(gradient, weight, None, stride, padding, rest, groups, dilation)
        return by_x, *[None] * 6


class _LeakyReLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float) -> Tensor:
        y = functional.leaky_relu(x, slope)
        ctx.save_for_backward(y)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors  # has x's signs; detached, for what it would pass on is zero
        return torch.ops.aten.leaky_relu_backward(gradient, y.detach(), ctx.slope, True), None


def _leaky_relu(x: Tensor, negative_slope: float, inplace: bool) -> Tensor:
    y: Tensor = _LeakyReLU.apply(x, negative_slope)  # type: ignore[no-untyped-call]
    return y


_REPLACED: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.conv2d: _Convolution.apply,
    functional.leaky_relu: _leaky_relu,
}
