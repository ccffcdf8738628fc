"""ONNX Runtime, imported when it is first needed, with its telemetry turned off."""

import os
from typing import Any


def load() -> Any:
    """Return the module ``onnxruntime``.

    From version 1.29 on it reports its use as soon as it is imported, unless the environment says otherwise.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime
