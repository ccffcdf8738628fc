"""Export a run's generator to model.onnx. Needs torch and onnx; the model contract comes from service/contract."""

import os

# From version 1.29 on ONNX Runtime sends telemetry unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
