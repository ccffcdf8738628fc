"""Export a run's generator to model.onnx. Needs torch and onnx; the model contract comes from service/contract."""
