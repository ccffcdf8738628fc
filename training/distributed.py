"""Several processes that train as one: each plays its share of every batch, and what they learn is averaged.

torchrun, or a cluster's operator, starts them; a process that is alone joins nothing and pays nothing. All draw the
same random numbers for the whole batch and take their shares of them, so that the game is the same, but for rounding,
however many play it, and one random state in the checkpoint serves all. Files are the first process's alone.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from training.errors import InputError, TrainingError

PACK = 8  # images that stay together: those that MinibatchStd compares

Result = TypeVar("Result")


def join() -> None:
    """Join the other processes of this run, if there are any.

    Raises:
        InputError: they cannot be found.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    # Before there is a group: the functions in there take the group of their import as a default and keep it alive,
    # with its threads, one of which now and then aborts the process as the interpreter ends (pytorch#190489).
    import torch.distributed.nn.functional

    # Two backends where there are GPUs: what the processes tell one another then does not wait for the GPUs' work.
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    except (ValueError, RuntimeError) as error:
        raise InputError(f"WORLD_SIZE says that there are other processes, but: {error}") from error


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def size() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return this process's number, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def local_rank() -> int:
    """Return this process's number on its machine, from 0."""
    return int(os.environ.get("LOCAL_RANK", "0")) if dist.is_initialized() else 0


def check(batch: int) -> None:
    """Raise InputError where a batch cannot be dealt out."""
    if batch % (PACK * size()) and size() > 1:
        raise InputError(
            f"a batch of {batch} cannot be dealt to {size()} processes in packs of {PACK}; "
            f"make batch a multiple of {PACK * size()}"
        )


def whole(number: int) -> int:
    """Return how many images all processes have where each has ``number``."""
    return number * size()


def share(batch: Tensor) -> Tensor:
    """Return this process's share of a batch that all hold: (N, …) -> (N / size, …).

    Packs are dealt in turn, as cards are, so that the share of two batches joined is their shares joined.
    """
    if size() == 1:
        return batch
    return batch.reshape(-1, size(), PACK, *batch.shape[1:])[:, rank()].flatten(0, 1)


def mean(tensor: Tensor) -> Tensor:
    """Return the mean over the processes of a tensor, which every process must ask for; gradients flow through."""
    if size() == 1:
        return tensor
    averaged: Tensor = _Mean.apply(tensor)  # type: ignore[no-untyped-call]
    return averaged


class _Mean(torch.autograd.Function):
    """Written out, since the one in torch.distributed.nn sums, and its double backward is nowhere promised."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total / size()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return mean(gradient)


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over the processes, all in one exchange."""
    if size() == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = mean(torch.cat([gradient.flatten() for gradient in gradients]))
    parts = torch.split(flat, [gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(to) for part, to in zip(parts, gradients, strict=True)])


def average_stats(stats: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean of each scalar over the processes: not finite in all, where it is so in one."""
    if size() == 1:
        return stats
    values = mean(torch.stack([value.float() for value in stats.values()]))
    return dict(zip(stats, values.unbind(), strict=True))


def in_any(flag: bool) -> bool:
    """Tell whether the flag is set in any process."""
    if size() == 1:
        return flag
    vote = torch.tensor(float(flag))
    dist.all_reduce(vote, dist.ReduceOp.MAX)
    return bool(vote)


def gather(value: Result) -> list[Result]:
    """Return every process's value, in their order."""
    values = [value] * size()
    if size() > 1:
        dist.all_gather_object(values, value)
    return values


def by_first(make: Callable[[], Result]) -> Result:
    """Return in every process what the first one makes, alone; what is wrong there is raised in all."""
    box: list[Any] = [_attempt(make) if rank() == 0 else None]
    if size() > 1:
        dist.broadcast_object_list(box)
    outcome: Result | TrainingError = box[0]
    return _settle(outcome)


def by_all(make: Callable[[], Result]) -> Result:
    """Return what each process makes; what is wrong in one of them is raised in all."""
    outcome = _attempt(make)
    for wrong in gather(outcome if isinstance(outcome, TrainingError) else None):
        _settle(wrong)
    return _settle(outcome)


def _attempt(make: Callable[[], Result]) -> Result | TrainingError:
    try:
        return make()
    except TrainingError as error:
        return error


def _settle(outcome: Result | TrainingError) -> Result:
    if isinstance(outcome, TrainingError):
        raise outcome
    return outcome
