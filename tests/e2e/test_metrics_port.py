from pathlib import Path

import httpx

from tests.e2e.server import counted, free_port, serving


def test_metrics_of_all_workers_are_on_the_port_that_is_set_and_on_no_other(models: Path, tmp_path: Path) -> None:
    port = free_port()
    with serving(tmp_path / "log", models=models, workers=2, metrics_port=port) as server, server.client() as client:
        for _ in range(5):
            assert client.post("/generate").status_code == 200
        metrics = httpx.get(f"http://127.0.0.1:{port}/metrics")
        assert counted(metrics.text, "nelumbo_images_total") == 5
        assert httpx.post(f"http://127.0.0.1:{port}/generate").status_code == 404
        assert client.get("/metrics").status_code == 404
