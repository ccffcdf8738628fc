"""Log pipes that are not read."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.e2e.server import PATIENCE, ROOT, SERVE, Server, bentoml_home, counted, free_port, wait_until_up


@pytest.mark.parametrize("log_requests", [True, False])
def test_a_full_log_pipe_blocks_neither_requests_nor_the_shutdown(
    models: Path, tmp_path: Path, log_requests: bool
) -> None:
    port = free_port()
    settings = {"port": port, "workers": 1, "drain": 0, "models": models, "log_requests": log_requests}
    variables = {f"NELUMBO_{name.upper()}": str(value) for name, value in settings.items()}
    environment = {**os.environ, **variables, **bentoml_home(tmp_path), "PYTHONPATH": ""}
    process = subprocess.Popen(
        SERVE, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    server = Server(process, f"http://127.0.0.1:{port}", tmp_path / "none")
    try:
        wait_until_up(server, "/readyz")
        with server.client() as client:
            for _ in range(3000):  # lines of 170 bytes: more than the pipe and the queue hold
                assert client.get("/livez").status_code == 200
        for _ in range(400):
            with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
                connection.sendall(b"nonsense\r\n\r\n")
                assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
        text = httpx.get(f"{server.url}/metrics", timeout=PATIENCE).text
        assert counted(text, "nelumbo_requests_total", status="400") == 400
        assert (counted(text, "nelumbo_dropped_log_lines_total") > 0) == log_requests
        assert server.stop(signal.SIGTERM) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert process.stdout is not None
        process.stdout.close()
