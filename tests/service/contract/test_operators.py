"""The list of operators by itself: what the shapes of a graph would also give away is refused by name first."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from service.contract.operators import OPERATORS, Constant, Float, Int, Ints, OneOf, problem_of

STORED = {"to": np.array([1, 2], np.int64)}


def problem(kind: str, inputs: str, **attributes: object) -> str | None:
    return problem_of(helper.make_node(kind, inputs.split(), ["out"], **attributes), STORED)


@pytest.mark.parametrize("kind", sorted({schema.name for schema in onnx.defs.get_all_schemas()} - set(OPERATORS)))
def test_an_operator_that_is_not_listed_is_refused(kind: str) -> None:
    assert kind in (problem(kind, "x") or "")


def test_a_listed_operator_is_served_within_its_bounds() -> None:
    assert problem("LeakyRelu", "x", alpha=0.2) is None
    assert "alpha" in (problem("LeakyRelu", "x", alpha=1e30) or "")
    assert "beta" in (problem("LeakyRelu", "x", beta=0.2) or "")


@pytest.mark.parametrize(
    ("kind", "position"), [(kind, position) for kind, operator in OPERATORS.items() for position in operator.stored]
)
def test_what_makes_a_shape_is_a_constant_in_the_file(kind: str, position: int) -> None:
    before = ["x", *["to"] * (position - 1)][:position]
    assert problem(kind, " ".join([*before, "to"])) is None
    assert "computed" in (problem(kind, " ".join([*before, "computed"])) or "")


def test_bounds_allow_numbers_of_their_kind_alone() -> None:
    assert [Int(0, 3).allows(value) for value in (0, 3, 4, -1, 1.0, [1])] == [True, True, False, False, False, False]
    assert [Ints(1, 2).allows(value) for value in ([1, 2], [3], 1, [1] * 13)] == [True, False, False, False]
    assert [Float(2.0).allows(value) for value in (2.0, -2.5, float("nan"), 1)] == [True, False, False, False]
    assert [OneOf((b"a", b"b")).allows(value) for value in (b"b", b"c", "b", [b"a"])] == [True, False, False, False]


@pytest.mark.parametrize("kind", ["Constant", "ConstantOfShape"])
def test_a_constant_is_a_tensor_of_a_served_type(kind: str) -> None:
    inputs = "to" if kind == "ConstantOfShape" else ""
    served, text, wide = (
        helper.make_tensor("", element, [1], [value])
        for element, value in ((TensorProto.FLOAT, 1.0), (TensorProto.STRING, b"x"), (TensorProto.UINT64, 1))
    )
    assert problem(kind, inputs, value=served) is None
    assert "value" in (problem(kind, inputs, value=text) or "")
    assert "value" in (problem(kind, inputs, value=wide) or "")


def test_a_constant_without_a_tensor_is_one_value_of_at_most_256_numbers() -> None:
    assert [Constant().allows(value) for value in (1, 0.5, [1] * 256)] == [True, True, True]
    assert [Constant().allows(value) for value in ([], [1] * 257, b"x")] == [False, False, False]
    assert "values" in (problem("Constant", "", value_int=1, value_float=1.0) or "")
    assert "values" in (problem("Constant", "") or "")
