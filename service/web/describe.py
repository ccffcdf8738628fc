"""JSON schemas in words: what a value may be, with its limits as limits, and what it is where it is not given."""

import json
from collections.abc import Callable, Iterator
from typing import Any

Schema = dict[str, Any]
Resolve = Callable[[Schema], Schema]

NAMES = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false", "object": "object"}


def kind(schema: Schema, resolve: Resolve) -> str:
    """Return what a value of this schema is: ``integer, 1–64``, ``list of 1–64: integer``."""
    schema = resolve(schema)
    if options := [one for one in schema.get("anyOf") or schema.get("oneOf") or [] if one.get("type") != "null"]:
        return " or ".join(dict.fromkeys(kind(one, resolve) for one in options))
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"] if value is not None)
    limits = _limits(schema)
    if schema.get("type") == "array":
        inner = kind(schema.get("items", {}), resolve)
        return f"list{f' of {limits}' if limits else ''}: {inner}"
    name = NAMES.get(schema.get("type", ""), "any value")
    unit = " characters" if schema.get("type") == "string" and limits else ""
    return f"{name}, {limits}{unit}" if limits else name


def default(schema: Schema, *, required: bool) -> str:
    """Return the value where none is given; nothing where there is none."""
    if required:
        return "required"
    value = schema.get("default")
    return "" if value is None else json.dumps(value)


def fields(schema: Schema, resolve: Resolve, prefix: str = "") -> Iterator[tuple[str, Schema, bool]]:
    """Yield each field of an object, its schema and whether it is required; of a list of objects as ``data[].seed``."""
    schema = resolve(schema)
    for name, rule in schema.get("properties", {}).items():
        yield f"{prefix}{name}", rule, name in schema.get("required", ())
        for one in [rule, *rule.get("anyOf", ())]:
            inner = resolve(one.get("items", {}))
            if "properties" in inner:
                yield from fields(inner, resolve, f"{prefix}{name}[].")


def _limits(schema: Schema) -> str:
    """Return the bounds of a number, a length or a list: ``1–64``, ``at least 1``; nothing without any."""
    low: Any = next((schema[key] for key in ("minimum", "minLength", "minItems") if key in schema), None)
    high: Any = next((schema[key] for key in ("maximum", "maxLength", "maxItems") if key in schema), None)
    if high is None and "exclusiveMaximum" in schema:
        high = schema["exclusiveMaximum"] - 1
    if low is None and high is None:
        return ""
    if low is None:
        return f"at most {_number(high)}"
    return f"at least {_number(low)}" if high is None else f"{_number(low)}–{_number(high)}"


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
