import os
import subprocess
import sys
from pathlib import Path

import pytest

DRAW = "from pathlib import Path; from service.engine.library import load_library; load_library(Path('models'), 'cpu')"

EXPORT = "import onnx; from export.float16 import to_float16; to_float16(onnx.load('models/digits/1/model.onnx'))"
TRAIN = (
    "from pathlib import Path; from training.metrics.samples import open_sampler; "
    "open_sampler(Path('models/digits/1/model.onnx')).draw(1)"
)


@pytest.mark.slow
@pytest.mark.parametrize("code", [DRAW, EXPORT, TRAIN])
def test_onnx_runtime_reports_nothing_to_its_makers(code: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    command = [sys.executable, "-c", f"{code}; import os; print(os.environ['ORT_DISABLE_TELEMETRY'])"]
    result = subprocess.run(
        command, env=environment | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "1"
    assert not list(tmp_path.rglob("*onnxruntime*"))  # no device id, no queue of reports
