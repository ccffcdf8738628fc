"""The ASGI app of a worker of ``python -m service``."""

import multiprocessing
import os
import signal

from starlette.types import ASGIApp

from service.telemetry import prometheus_dir


def create() -> ASGIApp:
    """Return our app with BentoML's behind it; runs once in each worker process."""
    prometheus_dir.reserve()  # before there is a metric, which opens its file
    from service.service import make_outermost, served, settings

    # A lone worker that told its supervisor would be told to load all a second time, after its answer.
    tell_others = tell_supervisor if settings.workers > 1 else None
    return make_outermost(served.to_asgi(), tell_others, settings.metrics_port)


def tell_supervisor() -> None:
    """Ask the supervisor to have all workers load the models again."""
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None and parent.is_alive():
        os.kill(parent.pid, signal.SIGHUP)
