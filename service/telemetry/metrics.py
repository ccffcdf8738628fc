"""The Prometheus metrics of the service, summed over the processes of one server.

Routes are labelled by their template, never by what a client sent, as prometheus_client keeps every label value.
"""

import functools
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
    "Time from the request to the end of the answer, of requests that succeeded",
    ["route"],
    buckets=SECONDS,
)
IMAGES = Counter("nelumbo_images", "Images drawn and sent", ["model"])
REJECTED = Counter("nelumbo_rejected", "Requests refused because the queue was full")
LIMITED = Counter("nelumbo_limited", "Requests refused because their key was over its rate or quota")
UNCOUNTED = Counter("nelumbo_uncounted_requests", "Requests not counted against their key: Redis did not answer")
DROPPED_LINES = Counter("nelumbo_dropped_log_lines", "Log lines dropped because the reader of the log was too slow")
DROPPED = Counter("nelumbo_dropped_images", "Images not drawn: client disconnected or deadline passed")
QUEUE_DEPTH = Gauge("nelumbo_queue_images", "Images in the queue", multiprocess_mode="livesum")
BATCH_SIZE = Histogram("nelumbo_batch_images", "Images in a batch", buckets=(1, 2, 4, 8, 16, 32, 64, 128))
QUEUE_SECONDS = Histogram("nelumbo_queue_seconds", "Time of a request's first image in the queue", buckets=SECONDS)
INFER_SECONDS = Histogram("nelumbo_infer_seconds", "Time of the inference of a batch", buckets=SECONDS)
WORKERS_REPLACED = Counter("nelumbo_workers_replaced", "Workers replaced because they died or hung")
ENCODE_SECONDS = Histogram("nelumbo_encode_seconds", "Time of encoding a request's images", buckets=SECONDS)


# A child of a metric is looked up once: labels() takes as long as counting does. There are as many as there are values.
requests_of = functools.cache(REQUESTS.labels)
request_seconds_of = functools.cache(REQUEST_SECONDS.labels)
images_of = functools.cache(IMAGES.labels)


class ModelInfo(Collector):
    """The models that are served, and how many are not.

    Its values are computed at each scrape, as a stored label would outlive its model.
    """

    def __init__(self, models: Iterable[Sequence[str]], refused: int = 0, withdrawn: int = 0) -> None:
        self._models, self._refused, self._withdrawn = models, refused, withdrawn

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Return 1 for each served model, and the numbers of refused and of withdrawn ones."""
        family = GaugeMetricFamily("nelumbo_model_info", "Models that are served", labels=MODEL_LABELS)
        for labels in self._models:
            family.add_metric(labels, 1)
        yield family
        refused = "Models in the folder that are not served because their files break the contract"
        yield GaugeMetricFamily("nelumbo_models_refused", refused, value=self._refused)
        withdrawn = "Models no longer served because workers crashed while running them"
        yield GaugeMetricFamily("nelumbo_models_withdrawn", withdrawn, value=self._withdrawn)


def exposition(models: Iterable[Sequence[str]], refused: int = 0, withdrawn: int = 0) -> bytes:
    """Return all metrics in Prometheus's text format, summed over the processes that share a directory.

    ``models`` are the served ones, each as its :data:`MODEL_LABELS`; ``refused`` and ``withdrawn`` count the others.
    """
    served = CollectorRegistry()
    served.register(ModelInfo(models, refused, withdrawn))
    return _counted() + generate_latest(served)


def _counted() -> bytes:
    if not os.path.isdir(os.environ.get(prometheus_dir.VARIABLE, "")):  # unset, or removed while cleaning up /tmp
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
