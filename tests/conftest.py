"""What holds for all tests."""

from hypothesis import settings

# A test that fails must fail for the change that it is run on: the same examples each time, as long as they may take.
settings.load_profile("ci")
