"""A folder of images -> a run folder with a trained generator. Knows nothing of export/ and service/."""

import os

# ONNX Runtime, which evaluation draws with, reports to its makers unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
