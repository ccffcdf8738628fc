"""What the service counts, for Prometheus; the processes of one server are added up.

Routes are labelled by their template, never by what a client sent: a label is kept for ever.
"""

import os
from collections.abc import Iterable, Sequence

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from service.telemetry import prometheus_dir

MODEL_LABELS = ("model", "digest", "provider")

SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

REQUESTS = Counter("nelumbo_requests", "Requests answered", ["route", "method", "status"])
REQUEST_SECONDS = Histogram(
    "nelumbo_request_seconds",
    "Requests that got what they asked for, to the end of the answer",
    ["route"],
    buckets=SECONDS,
)
IMAGES = Counter("nelumbo_images", "Images drawn and sent", ["model"])
REJECTED = Counter("nelumbo_rejected", "Requests turned away because the queue was full")
LIMITED = Counter("nelumbo_limited", "Requests turned away because their key had had its images")
UNCOUNTED = Counter("nelumbo_uncounted_requests", "Requests not counted against their key, as Redis was away")
DROPPED_LINES = Counter("nelumbo_dropped_log_lines", "Lines of logs dropped, as nobody read them fast enough")
DROPPED = Counter("nelumbo_dropped_images", "Images not drawn: their client had gone or their deadline had passed")
QUEUE_DEPTH = Gauge("nelumbo_queue_images", "Images that wait", multiprocess_mode="livesum")
BATCH_SIZE = Histogram("nelumbo_batch_images", "Images in one run of a model", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
QUEUE_SECONDS = Histogram("nelumbo_queue_seconds", "Wait of a request's first image", buckets=SECONDS)
INFER_SECONDS = Histogram("nelumbo_infer_seconds", "One run of a model", buckets=SECONDS)
WORKERS_REPLACED = Counter("nelumbo_workers_replaced", "Workers that died or hung and were replaced")
ENCODE_SECONDS = Histogram("nelumbo_encode_seconds", "Encoding of a request's images", buckets=SECONDS)


class ModelInfo(Collector):
    """Which models are served, by what, and how many are not; made anew, as a stored label would outlive its model."""

    def __init__(self, models: Iterable[Sequence[str]], refused: int = 0, withdrawn: int = 0) -> None:
        self._models, self._refused, self._withdrawn = models, refused, withdrawn

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return 1 for each model that is served, and the numbers of those that are not."""
        family = GaugeMetricFamily("nelumbo_model_info", "Models that are served", labels=MODEL_LABELS)
        for labels in self._models:
            family.add_metric(labels, 1)
        yield family
        refused = "Models that are there and not served, as their files break the contract"
        yield GaugeMetricFamily("nelumbo_models_refused", refused, value=self._refused)
        withdrawn = "Models that are served no more, as workers crashed while they ran them"
        yield GaugeMetricFamily("nelumbo_models_withdrawn", withdrawn, value=self._withdrawn)


def exposition(models: Iterable[Sequence[str]], refused: int = 0, withdrawn: int = 0) -> bytes:
    """Return all metrics in Prometheus's text format, summed over the processes that share a directory.

    ``models`` are those that are served, each as its :data:`MODEL_LABELS`; ``refused`` and ``withdrawn`` count others.
    """
    served = CollectorRegistry()
    served.register(ModelInfo(models, refused, withdrawn))
    return _counted() + generate_latest(served)


def _counted() -> bytes:
    if not os.path.isdir(os.environ.get(prometheus_dir.VARIABLE, "")):  # or somebody has cleaned up /tmp
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
