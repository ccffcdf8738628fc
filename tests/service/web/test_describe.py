from typing import Any

import pytest

from service.web.describe import default, fields, kind
from tests.service.web.conftest import Client


def same(schema: dict[str, Any]) -> dict[str, Any]:
    return schema


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 64}, "integer, 1–64"),
        ({"type": "integer", "minimum": 0, "exclusiveMaximum": 2**32}, "integer, 0–4294967295"),
        ({"type": "number", "minimum": 0.0, "maximum": 2.0}, "number, 0–2"),
        ({"type": "integer", "minimum": 1}, "integer, at least 1"),
        ({"type": "string", "maxLength": 64}, "text, at most 64 characters"),
        ({"anyOf": [{"type": "string", "enum": ["png", "zip"]}, {"type": "null"}]}, '"png" or "zip"'),
        ({"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 9}, "list of 1–9: number"),
        ({"anyOf": [{"type": "integer"}, {"type": "boolean"}]}, "integer or true or false"),
        ({}, "any value"),
    ],
)
def test_a_schema_is_said_with_its_limits(schema: dict[str, Any], words: str) -> None:
    assert kind(schema, same) == words


def test_defaults_and_required_fields_are_said() -> None:
    assert default({"default": 1.0}, required=False) == "1.0"
    assert default({"default": None}, required=False) == ""
    assert default({}, required=True) == "required"


def test_the_fields_of_objects_in_lists_are_listed() -> None:
    one = {"type": "object", "properties": {"seed": {"type": "integer"}}}
    schema = {"properties": {"data": {"type": "array", "items": one}}, "required": ["data"]}
    assert [(name, required) for name, _, required in fields(schema, same)] == [("data", True), ("data[].seed", False)]


def test_the_page_tells_limits_defaults_and_the_fields_of_answers(client: Client) -> None:
    page = client.get("/docs").text
    for row in (
        "<tr><td><code>n</code><td>integer, 1–64<td>",
        "<tr><td><code>steps</code><td>integer, 2–64<td>16<td>",
        "<tr><td><code>data[].b64_json</code><td>text<td>",
        "<tr><td><code>X-Seed</code><td>",
    ):
        assert row in page, row
