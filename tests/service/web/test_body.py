"""Bounds that keep a request from costing the event loop more than a request is worth."""

import asyncio
import json
import threading
from typing import Any

import pytest
from starlette.datastructures import Headers

from service.engine.renderer import Renderer
from service.settings import read_settings
from service.web.app import make_app
from service.web.body import LARGE, MAX_PARAMETERS, MAX_PATH, MAX_QUERY, parse_json, run_by_size
from service.web.problem_types import ProblemType
from service.web.problems import Problem
from service.web.schemas import MAX_UNKNOWN
from tests.service.web.conftest import Client
from tests.service.web.test_app import problem

JSON = Headers({"content-type": "application/json"})


@pytest.mark.parametrize(
    "url",
    [
        "/images/grey@2/1.png?" + "&".join(f"p{i}=1" for i in range(MAX_PARAMETERS + 1)),
        "/images/grey@2/1.png?" + "&" * 20_000,
        "/images/grey@2/1.png?truncation=" + "1" * MAX_QUERY,
        "/models/" + "x" * MAX_PATH,
        "/" + "%41" * MAX_PATH,
        "/nothing?" + "a&" * 30_000,
    ],
)
def test_a_target_longer_than_any_route_needs_is_refused(client: Client, url: str) -> None:
    problem(client.get(url), "uri-too-long")


def test_as_many_parameters_as_allowed_are_named_where_they_are_wrong(client: Client) -> None:
    query = "&".join(f"p{i}=1" for i in range(MAX_PARAMETERS))
    errors = problem(client.get(f"/images/grey@2/1.png?{query}"), "invalid-field")["errors"]
    assert len(errors) == MAX_PARAMETERS


@pytest.mark.parametrize("path", ["/generate", "/interpolate", "/render"])
def test_of_many_unknown_fields_the_first_are_named(client: Client, path: str) -> None:
    body = json.dumps({f"{i:04}": 0 for i in range(300)})
    document = problem(client.post(path, content=body, headers=dict(JSON)), "invalid-field")
    assert [error["field"] for error in document["errors"]] == [f"{i:04}" for i in range(MAX_UNKNOWN)]


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({str(i): 0 for i in range(20_000)}),
        json.dumps([{}] * 1000),
        json.dumps([[]] * 10_000),
        json.dumps([""] * 10_000),
        "[" * 100_000,
        '{"":' * 20_000,
    ],
)
def test_a_body_with_more_parts_than_any_valid_one_is_not_parsed(body: str) -> None:
    with pytest.raises(Problem) as raised:
        parse_json(JSON, body.encode())
    assert raised.value.kind is ProblemType.BODY_TOO_COMPLEX


@pytest.mark.parametrize(
    "value",
    [
        {"a": ":", "b": '":"', "c\\": "\\", 'd"': {"e": [1, {"f": ":::"}]}},
        [[0.5, -1, 1e-3]] * 64,
        {"prompt": 'a "quoted" word: and \\ a backslash"'},
        {"\u00e9:": "\U0001f600"},
    ],
)
@pytest.mark.parametrize("in_ascii", [True, False])
def test_good_json_is_parsed_whatever_its_strings_hold(value: Any, in_ascii: bool) -> None:
    assert parse_json(JSON, json.dumps(value, ensure_ascii=in_ascii).encode()) == value


@pytest.mark.parametrize(
    "body",
    [
        '{"a":1,"a":2}',
        '{"a":":","a":1}',
        '[0,{"b":{"a":1,"\\u0061":2}}]',
        '{"\\\\":1,"\\\\":2}',
        '{"\\"":1,"\\"":2}',
    ],
)
def test_a_duplicate_key_is_400_however_it_is_escaped(body: str) -> None:
    with pytest.raises(Problem) as raised:
        parse_json(JSON, body.encode())
    assert raised.value.kind is ProblemType.INVALID_JSON
    assert "twice" in raised.value.detail


def test_an_accept_header_is_read_to_a_bound(client: Client) -> None:
    many = {"accept": "text/plain," * 5000 + "image/png"}
    problem(client.post("/generate", json={"seed": 1}, headers=many), "not-acceptable")
    browsers = {"accept": "text/html,application/xhtml+xml,image/avif,image/webp;q=0.9,image/png;q=0.8,*/*;q=0.1"}
    assert client.post("/generate", json={"seed": 1}, headers=browsers).headers["content-type"] == "image/webp"


@pytest.mark.parametrize(("size", "is_aside"), [(0, False), (LARGE - 1, False), (LARGE, True), (10 * LARGE, True)])
def test_large_work_is_done_beside_the_event_loop(size: int, is_aside: bool) -> None:
    worked_in = asyncio.run(run_by_size(size, threading.get_ident))
    assert (worked_in != threading.get_ident()) is is_aside


def test_large_work_is_done_one_by_one_and_its_errors_are_the_callers() -> None:
    def fail(reason: str) -> None:
        raise ValueError(reason)

    async def work() -> list[Any]:
        calls = [run_by_size(LARGE, threading.get_ident) for _ in range(20)]
        return await asyncio.gather(*calls, run_by_size(LARGE, fail, "why"), return_exceptions=True)

    *threads, error = asyncio.run(work())
    assert len(set(threads)) == 1
    assert isinstance(error, ValueError)


@pytest.mark.parametrize("path", ["/generate", "/interpolate", "/render"])
def test_a_large_body_is_answered_as_a_small_one(renderer: Renderer, path: str) -> None:
    client = Client(make_app(renderer, read_settings()))
    good = {"/generate": {"seed": 1}, "/interpolate": {"from": 1, "to": 2}, "/render": {"latents": [[1] * 8]}}[path]
    small, large = (json.dumps(good) + " " * more for more in (0, LARGE))
    first, second = (client.post(path, content=body, headers=dict(JSON)) for body in (small, large))
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert first.status_code == 200
    problem(client.post(path, content="{" + " " * LARGE, headers=dict(JSON)), "invalid-json")
