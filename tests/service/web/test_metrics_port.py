import pytest

from service.engine.renderer import Renderer
from service.errors import ServiceError
from service.settings import read_settings
from service.web.app import make_app
from tests.service.web.conftest import Client
from tests.service.web.test_app import problem

OWN, PORT = 9000, 3000


@pytest.fixture(scope="module")
def client(renderer: Renderer) -> Client:
    return Client(make_app(renderer, read_settings(), metrics_port=OWN))


def test_the_port_answers_metrics(client: Client) -> None:
    answer = client.get(f"http://test:{OWN}/metrics")
    assert answer.status_code == 200
    assert "nelumbo_requests_total" in answer.text


@pytest.mark.parametrize(("port", "path"), [(PORT, "/metrics"), (PORT, "/%6detrics"), (OWN, "/models"), (OWN, "/")])
def test_what_a_port_does_not_have_is_not_found(client: Client, port: int, path: str) -> None:
    problem(client.get(f"http://test:{port}{path}"), "not-found")


def test_the_other_port_answers_all_else(client: Client) -> None:
    assert client.get(f"http://test:{PORT}/models").status_code == 200


def test_without_a_port_of_their_own_metrics_are_on_every_port(renderer: Renderer) -> None:
    assert Client(make_app(renderer, read_settings())).get("/metrics").status_code == 200


def test_the_ports_must_differ() -> None:
    with pytest.raises(ServiceError, match="NELUMBO_METRICS_PORT"):
        read_settings(port=PORT, metrics_port=PORT)
