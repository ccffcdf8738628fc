"""WebGPU, as a plug-in of ONNX Runtime: AMD's, Intel's and others' GPUs by Vulkan, Direct3D 12 or Metal.

Package and device were read from onnxruntime-ep-webgpu 0.4.0. It loads on Linux without a GPU and then offers no
device; nobody has run it on a GPU here.
"""

from service.engine.providers import plugins

PLUGIN = plugins.Plugin(
    name="webgpu",
    runtime_name="WebGpuExecutionProvider",
    package="onnxruntime_ep_webgpu",
    install="pip install onnxruntime-ep-webgpu",
    no_device="needs a GPU with a Vulkan driver (on Windows Direct3D 12, on a Mac Metal), and none is here",
)
PROVIDER = plugins.provider(
    PLUGIN,
    runs_on="GPUs with a driver for Vulkan, Direct3D 12 or Metal; never run on one",
    precision="float32; never measured",
)
