"""What holds for all tests."""

import os
import sys

import pytest
from hypothesis import settings

# The networks of the tests are so small that threads cost more than they help: with two of them for one core, which is
# what neighbours leave, a step took six times as long. Read when torch is imported, here and in what tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A test that fails must fail for the change that it is run on: the same examples each time, as long as they may take.
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """Begin each test with one random state of torch, which begins every process with another."""
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(0)
