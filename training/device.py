"""Where and in what precision a run computes."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from training import distributed
from training.errors import InputError

Thing = TypeVar("Thing", Tensor, nn.Module)


@dataclass(frozen=True)
class Device:
    """A torch device and whether it multiplies bfloat16 matrices faster than float32 ones."""

    torch: torch.device
    bfloat16: bool

    def autocast(self) -> AbstractContextManager[object]:
        """Run the forward pass in bfloat16 where that pays; weights and optimisers stay float32."""
        return torch.autocast(self.torch.type, torch.bfloat16) if self.bfloat16 else nullcontext()

    def place(self, thing: Thing) -> Thing:
        """Move images or a network here, channels last: the layout that convolutions are fastest in.

        In float32, too: DCGAN's step took 1.07 times as long in the other layout, on CPUs with AVX2 as with AVX-512.
        """
        placed: Thing = thing.to(device=self.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return placed

    def __str__(self) -> str:
        return f"{self.torch} in {'bfloat16' if self.bfloat16 else 'float32'}"


def choose(name: str) -> Device:
    """Return the device called ``auto``, ``cpu`` or ``cuda``; auto takes a GPU if there is one, each process its own.

    Raises:
        InputError: ``cuda`` was asked for and there is none, or there are fewer than processes on this machine.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device cuda: torch sees no CUDA GPU here; use --device cpu, or install a CUDA build of torch"
        )
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        if distributed.local_rank() >= torch.cuda.device_count():
            raise InputError(f"this machine has fewer GPUs than processes: start {torch.cuda.device_count()} of them")
        torch.cuda.set_device(distributed.local_rank())  # what "cuda" means in this process from here on
        torch.backends.cudnn.benchmark = True  # a run's shapes never change: the fastest kernels are looked for once
        return Device(torch.device("cuda"), torch.cuda.is_bf16_supported())
    return Device(torch.device("cpu"), _cpu_has_bfloat16())


def _cpu_has_bfloat16() -> bool:
    """Tell whether the CPU has bfloat16 instructions; without them autocast only emulates, and is slower."""
    has = torch.cpu.get_capabilities()
    return bool(has.get("amx_bf16") or has.get("avx512_bf16"))
