"""A run's generator -> model.onnx. Needs torch and onnx; takes from service/ only what a model file promises."""
