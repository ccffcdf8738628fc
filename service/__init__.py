"""model.onnx -> PNG over HTTP. Needs no torch and knows nothing of training/ or export/."""

import os

# ONNX Runtime reports its use to its makers from version 1.29 on, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
