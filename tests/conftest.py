"""Settings and fixtures of all tests."""

import os
import sys

import pytest
from hypothesis import settings

# The tests' networks are too small for threads: with two threads on one free core, a step took six times as long. torch
# reads this when it is imported, here and in processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The same examples in every run, so that a failure comes from the change under test; without a time limit for each.
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """Seed torch before each test, as its seed differs from process to process."""
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(0)
