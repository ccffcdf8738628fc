"""Fast second derivatives of a critic, which a gradient penalty needs.

torch differentiates a convolution's backward pass by a convolution whose kernels are whole feature maps, for which no
library is optimised, and sends the zeros of LeakyReLU's second derivative back through every layer. Here that backward
pass is a transposed convolution, whose own derivatives are fast (StyleGAN's conv2d_gradfix does it for GPUs), and the
zeros are left out. Calls for which this does not hold are torch's own: they are slower, and as right.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

Pair = tuple[int, int]


class TwiceDifferentiable(TorchFunctionMode):
    """Within it, networks have a gradient with respect to their images that is fast to differentiate again.

    That gradient is to be taken with respect to the images alone, with ``create_graph=True``.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Replace two of torch's functions."""
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
        if not torch.is_grad_enabled():  # the last backward pass, with respect to all weights
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
    def forward(ctx: Any, x: Tensor, slope: float, inplace: bool) -> Tensor:
        y = functional.leaky_relu(x, slope, inplace)
        if inplace:
            ctx.mark_dirty(x)
        ctx.save_for_backward(y if inplace else x)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        (signs,) = ctx.saved_tensors  # x and y have the same; detached, for their own gradient is zero
        return torch.ops.aten.leaky_relu_backward(gradient, signs.detach(), ctx.slope, True), None, None


def _conv2d(
    input: Tensor,  # noqa: A002 (torch's name)
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """Convolve as torch does, by the fast path where it applies.

    It does not to ``padding="same"`` and to images without a batch; nor to a weight that is computed, since it may
    depend on the images.
    """
    if isinstance(padding, str) or input.ndim != 4 or not weight.is_leaf:
        return functional.conv2d(input, weight, bias, stride, padding, dilation, groups)
    geometry = _pair(stride), _pair(padding), _pair(dilation)
    y: Tensor = _Convolution.apply(input, weight, bias, *geometry, groups)  # type: ignore[no-untyped-call]
    return y


def _pair(value: int | Sequence[int]) -> Pair:
    height, width = (value, value) if isinstance(value, int) else value if len(value) == 2 else (value[0], value[0])
    return height, width


def _leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:  # noqa: A002
    y: Tensor = _LeakyReLU.apply(input, negative_slope, inplace)  # type: ignore[no-untyped-call]
    return y


_REPLACED: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.conv2d: _conv2d,
    functional.leaky_relu: _leaky_relu,
}
