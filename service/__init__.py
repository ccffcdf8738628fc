"""model.onnx -> PNG over HTTP. Needs no torch and knows nothing of training/ or export/."""
