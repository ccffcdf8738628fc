"""From a folder of images to an image generator behind HTTP: the command ``nelumbo``, and :class:`Generator`."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nelumbo.generator import Generator

__all__ = ["Generator"]


def __getattr__(name: str) -> Any:
    """Import :class:`Generator` when it is asked for: the command line does without ONNX Runtime."""
    if name == "Generator":
        from nelumbo.generator import Generator

        return Generator
    raise AttributeError(f"module 'nelumbo' has no attribute {name!r}")
