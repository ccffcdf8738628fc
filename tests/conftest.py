"""What holds for all tests."""

import sys

import pytest
from hypothesis import settings

# A test that fails must fail for the change that it is run on: the same examples each time, as long as they may take.
settings.load_profile("ci")


@pytest.fixture(autouse=True)
def _same_draws() -> None:
    """Begin each test with one random state of torch, which begins every process with another."""
    if torch := sys.modules.get("torch"):
        torch.default_generator.manual_seed(0)
