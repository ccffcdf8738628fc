"""What runs a model: ONNX Runtime's execution providers."""
