"""What the service counts, for Prometheus; the processes of one server are added up.

Routes are labelled by their template, never by what a client sent: a label is kept for ever.
"""

import os
from pathlib import Path

import psutil
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("nelumbo_requests", "Requests answered", ["route", "method", "status"])
IMAGES = Counter("nelumbo_images", "Images drawn and sent", ["model"])
REJECTED = Counter("nelumbo_rejected", "Requests turned away because the queue was full")
DROPPED = Counter("nelumbo_dropped_images", "Images not drawn: their client had gone or their deadline had passed")
QUEUE_DEPTH = Gauge("nelumbo_queue_images", "Images that wait", multiprocess_mode="livesum")
BATCH_SIZE = Histogram("nelumbo_batch_images", "Images in one run of a model", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
QUEUE_SECONDS = Histogram("nelumbo_queue_seconds", "Wait of a request's first image", buckets=SECONDS)
INFER_SECONDS = Histogram("nelumbo_infer_seconds", "One run of a model", buckets=SECONDS)
ENCODE_SECONDS = Histogram("nelumbo_encode_seconds", "Encoding of a request's images", buckets=SECONDS)


def forget_the_dead() -> None:
    """Take what processes that have ended said of their present out of the sums; what they counted stays."""
    for file in Path(os.environ.get("PROMETHEUS_MULTIPROC_DIR", os.devnull)).glob("gauge_live*_*.db"):
        pid = file.stem.rpartition("_")[2]
        if not psutil.pid_exists(int(pid)):
            multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


def exposition() -> bytes:
    """Return all metrics in Prometheus's text format, summed over the processes that share a directory."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
