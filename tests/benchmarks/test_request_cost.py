import re
import sys
from pathlib import Path

import pytest

from benchmarks import costly_requests, request_cost
from benchmarks.costly_requests import TARGETS, Request
from benchmarks.request_cost import Cost
from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.auth import Access
from service.web.routes import routes
from tests.e2e.server import ROOT

DEARER = 3  # times the targets, as one measurement on a busy machine may cost


def cost(milliseconds: float, size: int, route: str = "/livez") -> Cost:
    return Cost(Request(route, f"{size} bytes", b"x" * size), 200, milliseconds, fixed=0.5)


def test_every_route_has_requests_and_none_is_there_twice(tmp_path: Path) -> None:
    renderer = Renderer(tmp_path)
    table = routes(renderer, read_settings(), renderer.reload, Access(), None)
    assert set(TARGETS) == {route.path for route in table} | {"/schema.json", "none"}
    made = list(costly_requests.requests("key"))
    assert len({one[:2] for one in made}) == len(made) > 250
    assert all(one.data.count(b"\r\n\r\n") == 1 for one in made if "one-byte" not in one.what)


def test_the_table_in_the_docs_has_every_route() -> None:
    page = (ROOT / "docs" / "performance.md").read_text()
    table = page.partition("## What one request may cost")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(.+?)` \|", table, re.MULTILINE) == sorted(TARGETS), (
        "run: python -m benchmarks.request_cost"
    )


def test_a_cost_is_that_above_the_fixed_one_and_by_the_kilobyte_where_there_is_one() -> None:
    assert cost(2.5, 100).per_kilobyte == 2.0
    assert cost(20.5, 10_000).per_kilobyte == 2.0
    assert cost(0.4, 10_000).per_kilobyte == 0.0


def test_what_is_over_a_target_is_told_and_the_table_has_the_costliest_of_each_route() -> None:
    costs = [cost(2.0, 100), cost(3.0, 100), cost(30.0, 100_000), cost(1.0, 10, "none")]
    assert request_cost.too_costly(costs) == costs[1:3]
    *_, livez, none = request_cost.table(costs).splitlines()
    assert livez == "| `/livez` | 30.00 | 100000 bytes (100.0 kB, 200) | 2.50 | 100 bytes (0.1 kB, 200) |"
    assert none.startswith("| `none` | 1.00 |")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what a thread of another process cost")
def test_no_request_costs_the_event_loop_much_more_than_it_may() -> None:
    costs = request_cost.measure(times=1)
    assert {one.request.route for one in costs} == set(TARGETS)
    assert all(100 <= one.status < 500 for one in costs)
    assert 0 < costs[0].fixed < 5
    dear = [
        one
        for one in costs
        if one.milliseconds > DEARER * request_cost.TARGET_REQUEST
        or one.per_kilobyte > DEARER * request_cost.TARGET_KILOBYTE
    ]
    assert not dear, request_cost.table(dear)
