"""Polling for a condition: the only place where a test sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 120  # seconds until the test fails
INTERVAL = 0.02  # seconds between two polls

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found], seconds: float = PATIENCE, said: Callable[[], object] = str) -> Found:
    """Call a function until its result is true, and return that; fails with what ``said`` returns."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, said() or f"not within {seconds} s"
        time.sleep(INTERVAL)
    return found
