"""Counters of images in fixed windows: what they promise, and those in this process."""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from limits import RateLimitItem


class CountersUnavailableError(Exception):
    """The store of the counters has not answered in time."""


@dataclass(frozen=True)
class Window:
    """One window of one key, as it was found."""

    used: int  # images, before this request
    seconds: float  # until it ends


@dataclass(frozen=True)
class Count:
    """Whether a request's images were counted, and the windows, by name."""

    counted: bool
    windows: Mapping[str, Window]


class Counters(Protocol):
    """Counts images of a key in all of its windows or, where one of them lacks the room, in none.

    A window begins with its first image.
    """

    def count(self, owner: str, images: int) -> "Future[Count]":
        """Count; the future raises CountersUnavailableError, immediately while the store is known to be unavailable."""


class MemoryCounters:
    """Counters in this process."""

    def __init__(self, limits: Mapping[str, RateLimitItem], clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._windows: dict[tuple[str, str], tuple[int, float]] = {}  # images, and when it ends; a few for each key

    def count(self, owner: str, images: int) -> "Future[Count]":
        """Count; the future is done."""
        now = self._clock()
        windows = {name: self._window(owner, name, now) for name in self._limits}
        fits = all(windows[name].used + images <= limit.amount for name, limit in self._limits.items())
        if fits:
            for name, window in windows.items():
                self._windows[owner, name] = (window.used + images, now + window.seconds)
        done: Future[Count] = Future()
        done.set_result(Count(fits, windows))
        return done

    def _window(self, owner: str, name: str, now: float) -> Window:
        used, end = self._windows.get((owner, name), (0, now))
        return Window(used, end - now) if end > now else Window(0, self._limits[name].get_expiry())
