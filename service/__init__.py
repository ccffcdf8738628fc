"""model.onnx -> pictures over HTTP."""
