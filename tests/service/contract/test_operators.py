"""The list of operators by itself: what the shapes of a graph would also give away is refused by name first."""

import numpy as np
import onnx
import pytest
from onnx import helper

from service.contract.operators import OPERATORS, Float, Int, Ints, problem_of

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


@pytest.mark.parametrize("kind", [kind for kind, operator in OPERATORS.items() if operator.stored])
def test_what_makes_a_shape_is_a_constant_in_the_file(kind: str) -> None:
    position = OPERATORS[kind].stored[0]
    before = ["x"] * position
    assert problem(kind, " ".join([*before, "to"])) is None
    assert "computed" in (problem(kind, " ".join([*before, "computed"])) or "")


def test_bounds_allow_numbers_of_their_kind_alone() -> None:
    assert [Int(0, 3).allows(value) for value in (0, 3, 4, -1, 1.0, [1])] == [True, True, False, False, False, False]
    assert [Ints(1, 2).allows(value) for value in ([1, 2], [3], 1, [1] * 13)] == [True, False, False, False]
    assert [Float(2.0).allows(value) for value in (2.0, -2.5, float("nan"), 1)] == [True, False, False, False]
