"""Serves model.onnx over HTTP: seeds or latents in, images out. It imports neither torch nor training/ nor export/."""
