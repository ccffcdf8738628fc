"""Training in several processes: each trains on its share of every batch; gradients and statistics are averaged.

torchrun, or a cluster's operator, starts them; a single process joins nothing. Each process draws its own random
numbers. Weights, moments and BatchNorm's statistics are equal in all of them after every step. Only the first process
writes files.
"""

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.configs import GROUP
from training.errors import InputError, TrainingError

Result = TypeVar("Result")


def init() -> None:
    """Join the other processes of this run, if there are any.

    Raises:
        InputError: they cannot be reached.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return
    # Imported before there is a group: its functions take the group of their import as a default and keep it alive,
    # with its threads, one of which now and then aborts the process as the interpreter ends (pytorch#190489).
    import torch.distributed.nn.functional

    # Two backends where there are GPUs: objects are then exchanged without waiting for the GPUs.
    gpus = torch.cuda.is_available() and dist.is_nccl_available()
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo")
    except (ValueError, RuntimeError) as error:
        raise InputError(f"WORLD_SIZE says that there are other processes, but: {error}") from error


def shutdown() -> None:
    """Leave the process group, if there is one."""
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


def check_batch(batch: int, *, groups: bool) -> None:
    """Raise InputError where a batch cannot be divided among the processes.

    Args:
        batch: images in a step, of all processes together.
        groups: whether the critic compares groups of 8 images, none of which may be split.
    """
    unit = size() * (GROUP if groups else 1)
    if batch % unit and size() > 1:
        raise InputError(
            f"a batch of {batch} cannot be divided among {size()} processes; make batch a multiple of {unit}"
        )


def seed_by_rank(seed: int) -> None:
    """Give every process but the first random numbers of its own, once all have built the same networks."""
    if rank():
        torch.manual_seed(int(np.random.SeedSequence((seed, rank())).generate_state(1)[0]))


def average(tensors: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over the processes, all in one exchange; they are of one dtype and device."""
    tensors = list(tensors)
    if size() == 1 or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    parts = torch.split(flat / size(), [tensor.numel() for tensor in tensors])
    torch._foreach_copy_(tensors, [part.view_as(to) for part, to in zip(parts, tensors, strict=True)])


def average_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace each gradient by its mean over the processes."""
    average(parameter.grad for parameter in parameters if parameter.grad is not None)


def average_statistics(*networks: nn.Module) -> None:
    """Replace running statistics, such as BatchNorm's, by their mean over the processes."""
    average(buffer for network in networks for buffer in network.buffers() if buffer.is_floating_point())


def average_stats(stats: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the mean of each scalar over the processes: not finite in all of them where it is so in one."""
    if size() > 1:
        stats = {name: value.float().clone() for name, value in stats.items()}
        average(stats.values())
    return stats


def any_rank(*flags: bool) -> list[bool]:
    """Return for each flag whether it is set in any process."""
    if size() == 1:
        return list(flags)
    votes = torch.tensor([float(flag) for flag in flags])
    dist.all_reduce(votes, dist.ReduceOp.MAX)
    return [bool(vote) for vote in votes]


def gather(value: Result) -> list[Result]:
    """Return every process's value, by rank."""
    values = [value] * size()
    if size() > 1:
        dist.all_gather_object(values, value)
    return values


def on_first_rank(make: Callable[[], Result]) -> Result:
    """Return in every process what the first one makes; its TrainingError is raised in all."""
    box: list[Any] = [_attempt(make) if rank() == 0 else None]
    if size() > 1:
        dist.broadcast_object_list(box)
    outcome: Result | TrainingError = box[0]
    return _result(outcome)


def on_all_ranks(make: Callable[[], Result]) -> Result:
    """Return what each process makes; a TrainingError in one of them is raised in all."""
    outcome = _attempt(make)
    for error in gather(outcome if isinstance(outcome, TrainingError) else None):
        _result(error)
    return _result(outcome)


def _attempt(make: Callable[[], Result]) -> Result | TrainingError:
    try:
        return make()
    except TrainingError as error:
        return error


def _result(outcome: Result | TrainingError) -> Result:
    if isinstance(outcome, TrainingError):
        raise outcome
    return outcome
