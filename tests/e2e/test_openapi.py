import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from tests.e2e.server import ROOT, serving
from tests.service.web.test_invert import write_encoder

TOKEN = "correct-horse-battery"


@pytest.mark.slow
def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    write_encoder(tiny.write(tmp_path / "models", tiny.conditional("grey")))
    tiny.write(tmp_path / "models", tiny.conditional("rgb", channels=3))
    with serving(tmp_path / "log", models=tmp_path / "models", admin_token=TOKEN) as server:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json"),
            *("--checks", "all", "--max-examples", "10", "--seed", "1", "--continue-on-failure"),
            *("--header", f"Authorization: Bearer {TOKEN}"),
        ]
        environment = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.e2e.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
        found = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)
        assert found.returncode == 0, found.stdout + found.stderr
        assert "Traceback" not in server.said()
