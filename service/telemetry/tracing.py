"""OpenTelemetry traces, a span a request: on where the standard OTEL_EXPORTER_OTLP_ENDPOINT says where they go.

All else is what OpenTelemetry's SDK reads of its OTEL_… variables: headers, sampler, service name, batches. BentoML has
traces of its own, which do not see the hot routes.
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
    """Tell whether traces go anywhere; raises ServiceError where they should and cannot."""
    on = any(os.environ.get(name) for name in VARIABLES)
    if on and not _is_installed():
        raise ServiceError("traces need pip install 'nelumbo[traces]'; or unset OTEL_EXPORTER_OTLP_ENDPOINT")
    return on


def _is_installed() -> bool:
    try:
        return find_spec(EXPORTER) is not None
    except ModuleNotFoundError:  # of a package above it
        return False


def traced(app: ASGIApp) -> ASGIApp:
    """Return an app whose requests are spans: method, route, status, client; no header and no body."""
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
    """Name a span by the first part of its path: a name for each picture would be too many."""
    return f"{scope['method']} /{scope['path'].removeprefix('/').partition('/')[0]}", {}
