"""The number formats that a model computes in."""

from enum import StrEnum


class Precision(StrEnum):
    """What a provider computes in; files hold float32, or else float16."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"
