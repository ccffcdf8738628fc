"""The device and the precision of a training run."""

import ctypes
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from training import distributed
from training.errors import InputError

Thing = TypeVar("Thing", Tensor, nn.Module)

# Of glibc's malloc.h, and the largest value that both take.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
NEVER = 2**31 - 1  # bytes


@dataclass(frozen=True)
class Device:
    """A torch device, and whether bfloat16 is faster than float32 on it."""

    torch: torch.device
    bfloat16: bool

    def autocast(self) -> AbstractContextManager[object]:
        """Run the forward pass in bfloat16 where that is faster; weights and optimiser state stay float32."""
        return torch.autocast(self.torch.type, torch.bfloat16) if self.bfloat16 else nullcontext()

    def place(self, thing: Thing) -> Thing:
        """Move images or a network to the device in channels-last layout, in which convolutions are fastest.

        In float32, too: a DCGAN step takes 1.07 times as long in the contiguous layout, with AVX2 and with AVX-512.
        """
        placed: Thing = thing.to(device=self.torch, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return placed

    def __str__(self) -> str:
        return f"{self.torch} in {'bfloat16' if self.bfloat16 else 'float32'}"


def choose(name: str) -> Device:
    """Return the device for ``auto``, ``cpu`` or ``cuda``; each process of a machine gets its own GPU.

    ``auto`` is a GPU if there is one, else the CPU.

    Raises:
        InputError: ``cuda`` is requested and there is no GPU, or this machine has fewer GPUs than processes.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError(
            "--device cuda: torch sees no CUDA GPU here; use --device cpu, or install a CUDA build of torch"
        )
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        if distributed.local_rank() >= torch.cuda.device_count():
            raise InputError(f"this machine has fewer GPUs than processes; start {torch.cuda.device_count()} processes")
        torch.cuda.set_device(distributed.local_rank())  # the default GPU of this process
        torch.backends.cudnn.benchmark = True  # shapes are fixed, so the fastest kernels are searched for once
        return Device(torch.device("cuda"), torch.cuda.is_bf16_supported())
    keep_freed_memory()
    return Device(torch.device("cpu"), _cpu_has_bfloat16())


def _cpu_has_bfloat16() -> bool:
    """Return whether the CPU has bfloat16 instructions; without them autocast emulates bfloat16 and is slower."""
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("amx_bf16") or capabilities.get("avx512_bf16"))


def keep_freed_memory() -> None:
    """Let this process keep what it frees, where the C library is glibc.

    Each step frees and asks again for feature maps of megabytes, which glibc otherwise gives back to the system: in
    float32 a step of cats-best had 16,000 page faults, a tenth of its time, and of training an encoder it was half.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(M_TRIM_THRESHOLD, NEVER)
        mallopt(M_MMAP_THRESHOLD, NEVER)
