"""What is freed is given back to the system."""

import platform

import psutil
import pytest

from service import memory

BLOCK = 100_000  # bytes: below what the C library maps by itself
MIB = 2**20


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library gives back what it will")
def test_memory_that_was_freed_below_some_in_use_is_given_back() -> None:
    blocks = [b"x" * BLOCK for _ in range(200 * MIB // BLOCK)]
    last = blocks[-1]
    del blocks[:]
    before = psutil.Process().memory_info().rss
    memory.give_back()
    assert before - psutil.Process().memory_info().rss > 100 * MIB
    assert len(last) == BLOCK
