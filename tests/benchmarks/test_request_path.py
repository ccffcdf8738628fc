import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny


@pytest.mark.slow
def test_a_request_is_counted_and_timed(tmp_path: Path) -> None:
    model = tiny.write(tmp_path, tiny.card("grey"))
    command = [sys.executable, "-m", "benchmarks.request_path", str(model), "--rounds", "10"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=240).stdout
    opcodes, whole, loop = (int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", said))
    assert opcodes > 1000
    assert whole >= loop > 0
