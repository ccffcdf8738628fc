"""A provider that draws negatives, on a device of its own; ``python -m tests.toy_provider`` serves with it.

The table is changed where this module is the program, so also in the worker processes that the server starts.
"""

from dataclasses import replace

import numpy as np
import onnxruntime

from service.__main__ import app
from service.engine.providers import cpu
from service.engine.providers.base import Feeds, Shape
from service.engine.providers.registry import PROVIDERS


def run(session: onnxruntime.InferenceSession, feeds: Feeds, shape: Shape) -> np.ndarray:
    drawn: np.ndarray = session.run(["image"], dict(feeds))[0]
    return 255 - drawn


TOY = replace(cpu.PROVIDER, name="toy", run=run, exact=False, on_cores=False, runs_on="toys")

if __name__ in ("__main__", "__mp_main__"):  # the second is its name in a worker
    PROVIDERS[TOY.name] = TOY
if __name__ == "__main__":
    app()
