"""MLX, as a plug-in of ONNX Runtime: GPUs of Apple's chips.

Package, library and name were read from the wheel of onnxruntime-ep-mlx 0.31.0 (macOS 14 or newer, Python 3.11 or
newer); nobody has run it here.
"""

from service.engine.providers import plugins

PLUGIN = plugins.Plugin(
    name="mlx",
    runtime_name="MLXExecutionProvider",
    package="onnxruntime_ep_mlx",
    install="pip install onnxruntime-ep-mlx on a Mac with an Apple chip",
    no_device="needs an Apple chip with macOS 14 or newer, and this is none",
    library="library_path",
)
PROVIDER = plugins.provider(
    PLUGIN, runs_on="Apple's chips, macOS 14 or newer; never run on one", precision="float32; never measured"
)
