"""OpenTelemetry traces, with a span for each request; on if OTEL_EXPORTER_OTLP_ENDPOINT is set.

The OpenTelemetry SDK reads its other OTEL_… variables itself: headers, sampler, service name, batches. BentoML has
traces of its own, which do not cover our routes.
"""

import os
from importlib.util import find_spec
from typing import Any

from starlette.types import ASGIApp

from service.errors import ServiceError

VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROBES = "livez,readyz,healthz,metrics"
EXPORTER = "opentelemetry.exporter.otlp"


def is_on() -> bool:
    """Return whether traces are exported; raises ServiceError if the exporter is not installed."""
    on = any(os.environ.get(name) for name in VARIABLES)
    if on and not _is_installed():
        raise ServiceError("traces need pip install 'nelumbo[traces]'; or unset OTEL_EXPORTER_OTLP_ENDPOINT")
    return on


def _is_installed() -> bool:
    try:
        return find_spec(EXPORTER) is not None
    except ModuleNotFoundError:  # of a parent package
        return False


def traced(app: ASGIApp) -> ASGIApp:
    """Wrap an app so that each request is a span with method, route, status and client, without headers and body."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.util.http import parse_excluded_urls

    name = os.environ.get("OTEL_SERVICE_NAME", "nelumbo")
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    made: ASGIApp = OpenTelemetryMiddleware(
        app,
        excluded_urls=parse_excluded_urls(PROBES),
        default_span_details=_details,
        tracer_provider=provider,
        exclude_spans=["receive", "send"],
    )
    return made


def _details(scope: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """Name a span by the first segment of its path, so that images do not each get a span name of their own."""
    return f"{scope['method']} /{scope['path'].removeprefix('/').partition('/')[0]}", {}
