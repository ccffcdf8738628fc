import json
from typing import Any

import pytest

from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web import request_log
from service.web.app import make_app
from tests.service.web.conftest import Client


@pytest.fixture
def client(renderer: Renderer) -> Client:
    return Client(make_app(renderer, read_settings(log_requests=True)))


def logged(capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert request_log.STDOUT.flush(60)
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


def test_a_drawing_is_one_line_that_tells_where_its_time_went(
    client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    headers = {"x-request-id": "abc-1"}
    assert client.post("/generate", json={"seed": 1, "n": 3, "model": "rgb"}, headers=headers).status_code == 200
    (line,) = logged(capfd)
    assert line.pop("time").endswith("+00:00")
    times = [line.pop(f"{phase}_ms") for phase in ("queue", "infer", "encode", "total")]
    assert all(0 <= time < 3 * times[-1] for time in times[:-1])  # what threads do at once counts for each
    assert line == {
        "request_id": "abc-1", "method": "POST", "route": "/generate", "status": 200, "model": "rgb@1", "n": 3
    }  # fmt: skip


def test_what_draws_nothing_is_logged_without_a_drawing(client: Client, capfd: pytest.CaptureFixture[str]) -> None:
    client.post("/generate", json={"seed": 1})
    client.post("/generate", json={"seed": -1})
    client.get("/models")
    drawn, refused, listed = logged(capfd)
    assert "n" in drawn
    assert (refused["status"], refused.keys() & {"model", "n", "queue_ms"}) == (422, set())
    assert (listed["status"], listed["route"]) == (200, "/models")


def test_no_secret_and_nothing_else_that_a_client_sends_is_logged(
    client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    headers = {"authorization": "Bearer hush", "x-api-key": "hush", "x-request-id": "hush !", "cookie": "hush"}
    client.post("/generate?key=hush", json={"model": "hush"}, headers=headers)
    client.get("/hush", headers=headers)
    assert request_log.STDOUT.flush(60)
    text = capfd.readouterr().out
    assert len(text.splitlines()) == 2
    assert "hush" not in text


def test_nothing_is_logged_unless_it_is_asked_for(renderer: Renderer, capfd: pytest.CaptureFixture[str]) -> None:
    Client(make_app(renderer, read_settings())).get("/models")
    assert capfd.readouterr().out == ""
