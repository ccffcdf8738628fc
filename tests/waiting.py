"""Waiting for a condition: the only place where a test sleeps."""

import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE = 120  # seconds until what does not come fails its test
INTERVAL = 0.02  # seconds between two looks

Found = TypeVar("Found")


def wait_for(look: Callable[[], Found], seconds: float = PATIENCE, said: Callable[[], object] = str) -> Found:
    """Look again and again until what is found is true, and return it; fails with what ``said`` returns."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, said() or f"not within {seconds} s"
        time.sleep(INTERVAL)
    return found
