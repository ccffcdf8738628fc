"""A run's generator -> model.onnx. Needs torch and onnx; takes from service/ what a model file promises."""

import os

# ONNX Runtime reports its use to its makers from version 1.29 on, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
