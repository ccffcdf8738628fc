import subprocess
import sys
from collections import Counter

import pytest

from tests.e2e.server import ROOT
from tests.fuzz.wire import GROWTH, Result


@pytest.mark.slow
def test_a_short_fuzz_finds_nothing() -> None:
    pytest.importorskip("atheris")
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "--parsers",
        "20000",
        "--wire",
        "3000",
        "--models",
        "300",
        "--served",
        "10",
        "--seed",
        "1",
    ]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "number_of_executed_units: 20000" in found.stdout
    assert "server: 3,000 inputs" in found.stdout
    assert "models: 300 inputs" in found.stdout
    assert "served: 10 odd models" in found.stdout


def test_a_fault_of_the_server_or_a_leak_fails() -> None:
    assert not Result(Counter({0: 5, 200: 1, 400: 9, 503: 2}), before=1, after=2).failed
    assert Result(Counter({500: 1}), before=1, after=1).failed
    assert Result(Counter({200: 1}), before=1, after=2 + GROWTH).failed
