import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from service import keys
from service.errors import ServiceError
from service.telemetry import tracing
from tests.e2e.server import serving, wait_until

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Collector(ThreadingHTTPServer):
    """Takes spans as an OpenTelemetry collector does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taker)
        self.received: list[bytes] = []

    def spans(self) -> dict[str, str]:
        """Return the trace's id by the span's name."""
        found = {}
        for data in self.received:
            for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
                for scope in resource.scope_spans:
                    found |= {span.name: span.trace_id.hex() for span in scope.spans}
        return found


class Taker(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        self.server.received.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with Collector() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{running.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        yield running
        running.shutdown()


def test_a_request_that_names_no_path_has_a_span_too() -> None:
    assert tracing._details({"method": "OPTIONS", "path": "*"}) == ("OPTIONS /*", {})


def test_every_request_is_a_span_without_secrets(models: Path, tmp_path: Path, collector: Collector) -> None:
    key = keys.new()
    (tmp_path / "keys").write_text(keys.line("us", key))
    headers = {"x-api-key": key, "authorization": f"Bearer {key}", "traceparent": PARENT}
    with serving(tmp_path / "log", models=models, api_keys=tmp_path / "keys") as server:
        for method, path in (("POST", "/generate"), ("GET", "/images/grey@1/1.png"), ("GET", "/models")):
            assert httpx.request(method, f"{server.url}{path}", headers=headers).status_code == 200
        httpx.post(f"{server.url}/render", json={"latents": [[0.0] * 8]}, headers=headers)
        wanted = {"POST /generate", "GET /images", "GET /models", "POST /render"}
        wait_until(lambda: wanted <= set(collector.spans()), server)
    assert set(collector.spans()) == wanted  # no probe, and each but once
    assert set(collector.spans().values()) == {PARENT.split("-")[1]}
    assert key.encode() not in b"".join(collector.received)


def test_a_collector_that_is_away_ends_nothing(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    with serving(tmp_path / "log", models=models) as server:
        assert httpx.post(f"{server.url}/generate").status_code == 200
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 20


def test_traces_that_cannot_be_sent_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not tracing.is_on()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://there/v1/traces")
    assert tracing.is_on()
    monkeypatch.setattr(tracing, "EXPORTER", "nowhere.at.all")
    with pytest.raises(ServiceError, match=r"nelumbo\[traces\]"):
        tracing.is_on()
