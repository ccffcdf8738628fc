import shutil

import httpx
import pytest

from benchmarks.serving import process, wrk
from tests.e2e.server import Server, counted

pytestmark = pytest.mark.skipif(shutil.which("wrk") is None, reason="no wrk here")


def test_wrk_counts_images_and_times_requests(server: Server) -> None:
    def drawn() -> float:
        return counted(httpx.get(f"{server.url}/metrics").text, "nelumbo_images_total")

    before = drawn()
    speed = wrk.draw(server.url, 4, 1, model="rgb@1", n=2, accept="application/zip")
    assert 0 < speed.p50 <= speed.p95 <= speed.p99
    assert 0 < speed.rate <= (drawn() - before) * 1.05  # what wrk waits for at its end is drawn, but not counted


def test_wrk_asks_again_for_what_it_has(server: Server) -> None:
    url = f"{server.url}/images/rgb@1/1.png"
    assert wrk.revalidate(url, 4, 1, etag=httpx.get(url).headers["etag"]).rate > 0
    text = httpx.get(f"{server.url}/metrics").text
    assert counted(text, "nelumbo_requests_total", status="304") > 1


def test_a_refused_request_is_no_measurement(server: Server) -> None:
    with pytest.raises(RuntimeError, match="failed"):
        wrk.draw(server.url, 1, 1, model="none")


def test_a_workers_cost_is_read(server: Server) -> None:
    (worker,) = process.workers(server)
    threads, memory = process.size(worker)
    assert threads > 2
    assert memory > 30
    assert process.cpu_seconds(worker) > 0
