"""Tests of training.device."""

import ctypes
import resource
import sys

import pytest
import torch

from training import device as devices

MEGABYTES = 16


@pytest.mark.skipif(
    sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "mallopt"), reason="only glibc has mallopt"
)
def test_maps_of_megabytes_are_not_new_pages_in_each_step() -> None:
    devices.choose("cpu")
    pages = MEGABYTES * 2**20 // resource.getpagesize()
    torch.ones(MEGABYTES, 2**18)  # once they are new
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(MEGABYTES, 2**18)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 3 * pages  # of 20
