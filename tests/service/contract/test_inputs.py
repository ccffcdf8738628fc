"""Schema 2: the inputs that a card promises, and what a graph has to keep of it."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from pydantic import ValidationError

from service.contract import Card, ContractError, Refusal, graph
from service.contract.card import read_card
from service.contract.inputs import MAX_CLASSES, MAX_DIRECTIONS, MAX_NAME
from tests import tiny

MANY = {"classes": [f"{i}" for i in range(MAX_CLASSES)], "truncation": True}


def refusal(made: onnx.ModelProto) -> ContractError:
    with pytest.raises(ContractError) as refused:
        graph.check(made.SerializeToString(), "model.onnx")
    return refused.value


@pytest.mark.parametrize(
    ("changes", "inputs"),
    [
        ({}, ["latent", "label", "truncation", "directions"]),
        ({"classes": ()}, ["latent", "truncation", "directions"]),
        ({"truncation": False, "directions": ()}, ["latent", "label"]),
        ({"classes": (), "directions": ()}, ["latent", "truncation"]),
        ({"classes": (), "truncation": False}, ["latent", "directions"]),
        (MANY, ["latent", "label", "truncation", "directions"]),
    ],
)
def test_a_graph_with_the_inputs_of_its_card_is_served(changes: dict[str, Any], inputs: list[str]) -> None:
    described = tiny.conditional(**changes)
    made = tiny.model(described)
    assert [one.name for one in made.graph.input] == inputs == [*described.inputs()]
    assert graph.check(made.SerializeToString(), "model.onnx") == described


def test_only_a_card_that_needs_it_is_of_schema_2() -> None:
    assert tiny.conditional().to_metadata()["schema"] == "2"
    plain = tiny.card().to_metadata()
    assert plain["schema"] == "1"
    assert not plain.keys() & {"classes", "truncation", "directions"}


def test_a_card_of_schema_1_has_none_of_these_fields() -> None:
    metadata = tiny.conditional().to_metadata() | {"schema": "1"}
    assert read_card(metadata, "model.onnx") == tiny.conditional(classes=(), truncation=False, directions=())


def test_a_default_truncation_is_in_the_card_and_1_where_the_card_has_none() -> None:
    described = tiny.conditional(default_truncation=0.7)
    assert read_card(described.to_metadata(), "model.onnx") == described
    assert "default_truncation" not in tiny.conditional().to_metadata()
    assert read_card(tiny.conditional().to_metadata(), "model.onnx").default_truncation == 1


def test_names_are_any_unicode_and_one_however_they_are_composed() -> None:
    described = tiny.conditional(classes=["Cafe\u0301", "猫", "a,b", "7"])
    assert described.classes == ("Café", "猫", "a,b", "7")
    assert read_card(described.to_metadata(), "model.onnx") == described
    escaped = described.to_metadata() | {"classes": json.dumps(described.classes)}
    assert read_card(escaped, "model.onnx") == described


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["one"]},
        {"classes": ["a", "a"]},
        {"classes": ["Cafe\u0301", "Café"]},
        {"classes": ["a", ""]},
        {"classes": ["a", " b"]},
        {"classes": ["a", "b\n"]},
        {"classes": ["a", "\u200b"]},
        {"classes": ["a", "b" * (MAX_NAME + 1)]},
        {"classes": [f"{i}" for i in range(MAX_CLASSES + 1)]},
        {"classes": ["a", 1]},
        {"directions": [{"name": "a", "range": 0}]},
        {"directions": [{"name": "a", "range": float("nan")}]},
        {"directions": [{"name": "a", "range": 1e9}]},
        {"directions": [{"name": "a"}]},
        {"directions": [{"name": "a", "range": 1}] * 2},
        {"directions": [{"name": "1", "range": 1}]},
        {"directions": [{"name": f"d{i}", "range": 1} for i in range(MAX_DIRECTIONS + 1)]},
        {"truncation": "perhaps"},
        {"default_truncation": 2.5},
        {"default_truncation": -0.1},
        {"default_truncation": float("nan")},
        {"truncation": False, "default_truncation": 0.7},
    ],
)
def test_other_names_and_ranges_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        tiny.conditional(**changes)


def element(made: onnx.ModelProto, number: int, kind: int) -> None:
    made.graph.input[number].type.tensor_type.elem_type = kind


CHANGES: dict[str, tuple[Callable[[onnx.ModelProto], Any], str]] = {
    "no label": (lambda made: made.graph.input.pop(1), "label, int64 [N]"),
    "another order": (lambda made: made.graph.input.append(made.graph.input.pop(1)), "label, int64 [N]"),
    "one more": (
        lambda made: made.graph.input.append(helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["N", 8])),
        "noise",
    ),
    "labels of another type": (lambda made: element(made, 1, TensorProto.INT32), "label, int64 [N]"),
    "a wide truncation": (
        lambda made: made.graph.input[2].type.tensor_type.shape.dim.add(dim_value=1),
        "truncation, float32 [N]",
    ),
    "a third direction": (
        lambda made: made.graph.input[3].type.tensor_type.shape.dim[1].__setattr__("dim_value", 3),
        "directions, float32 [N, 2]",
    ),
    "a label that changes nothing": (lambda made: made.graph.node[1].input.__setitem__(1, "centre"), "label"),
    "a latent that changes nothing": (lambda made: made.graph.node[1].input.__setitem__(0, "class"), "latent"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_graph_without_the_inputs_of_its_card_is_refused(change: str) -> None:
    made = tiny.model(tiny.conditional())
    apply, said = CHANGES[change]
    apply(made)
    refused = refusal(made)
    assert refused.kind is Refusal.WRONG_SIGNATURE
    assert said in str(refused)


def test_a_graph_of_schema_1_has_no_further_input() -> None:
    made = tiny.model(tiny.conditional())
    helper.set_model_props(made, tiny.card().to_metadata())
    assert refusal(made).kind is Refusal.WRONG_SIGNATURE


def test_a_class_is_added_a_centre_is_approached_and_a_direction_is_gone_along() -> None:
    """What the tests of the engine rely on."""
    made, latent = tiny.model(tiny.conditional()), np.zeros((1, 8), np.float32)
    same = {"label": np.int64([0]), "truncation": np.float32([1]), "directions": np.float32([[0, 0]])}
    first = tiny.run(made, "image", latent=latent, **same)
    for name, value in (
        ("label", np.int64([1])),
        ("truncation", np.float32([0.5])),
        ("directions", np.float32([[0, 1]])),
    ):
        assert (tiny.run(made, "image", latent=latent, **same | {name: value}) != first).any()
    assert Card.model_validate(tiny.conditional().model_dump(by_alias=True)) == tiny.conditional()
