import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["service.engine.renderer", "export.verify", "training.evaluate"])
def test_onnx_runtime_reports_nothing_to_its_makers(module: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", f"import {module}, onnxruntime, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    result = subprocess.run(
        command, env=environment | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "1"
    assert not list(tmp_path.rglob("*onnxruntime*"))  # no device id, no queue of reports
