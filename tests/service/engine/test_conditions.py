import pytest

from service.engine import conditions
from service.engine.conditions import ConditionError, UnknownClassError, UnknownDirectionError, UnsupportedError
from service.engine.model import Model
from service.engine.renderer import Renderer


@pytest.fixture(scope="module")
def model(lettered: Renderer) -> Model:
    return lettered.library.find("letters")


def test_classes_and_directions_are_found_by_name_and_number(model: Model) -> None:
    assert conditions.find(model) == ([], 1.0, [])
    found = conditions.find(model, ["Ça", "A"], 0.5, {"weight": 1.5, "1": -2})
    assert found == ([2, 0], 0.5, [1.5, -2])
    assert conditions.find(model, ["C\u0327a"], 1.0, {"0": 3}) == ([2], 1.0, [3, 0])


def test_amounts_of_nothing_are_no_amounts(model: Model) -> None:
    assert conditions.find(model, directions={"weight": 0}) == conditions.find(model)


@pytest.mark.parametrize(
    ("asked", "error", "field"),
    [
        ({"classes": ["D"]}, UnknownClassError, "class"),
        ({"classes": ["A", ""]}, UnknownClassError, "class"),
        ({"directions": {"slant": 1}}, UnknownDirectionError, "directions"),
        ({"directions": {"2": 1}}, UnknownDirectionError, "directions"),
        ({"directions": {"-1": 1}}, UnknownDirectionError, "directions"),
        ({"directions": {"٠": 1}}, UnknownDirectionError, "directions"),
        ({"directions": {"0": float("nan")}}, ConditionError, "directions"),
        ({"truncation": -1}, ConditionError, "truncation"),
        ({"truncation": float("nan")}, ConditionError, "truncation"),
    ],
)
def test_what_a_model_lacks_is_an_error_with_its_field(
    model: Model, asked: dict[str, object], error: type[ConditionError], field: str
) -> None:
    with pytest.raises(error) as refused:
        conditions.find(model, **asked)  # type: ignore[arg-type]
    assert (type(refused.value), refused.value.field) == (error, field)


@pytest.mark.parametrize(
    ("asked", "field"),
    [({"classes": ["A"]}, "class"), ({"truncation": 0.5}, "truncation"), ({"directions": {"0": 1}}, "directions")],
)
def test_a_plain_model_supports_none(lettered: Renderer, asked: dict[str, object], field: str) -> None:
    with pytest.raises(UnsupportedError) as refused:
        conditions.find(lettered.library.find("plain"), **asked)  # type: ignore[arg-type]
    assert refused.value.field == field


def test_labels_are_checked_by_number(model: Model, lettered: Renderer) -> None:
    assert conditions.numbered(model, 2, [2, 0], 0.5, [1]) == ([2, 0], 0.5, [1, 0])
    assert conditions.numbered(model, 2) == ((), 1.0, [])
    for labels in ([0], [0, 3], [-1, 0]):
        with pytest.raises(ConditionError):
            conditions.numbered(model, 2, labels)
    with pytest.raises(UnsupportedError):
        conditions.numbered(lettered.library.find("plain"), 1, [0])


@pytest.mark.parametrize(
    ("name", "first"),
    [("lotos", "lotus"), ("LOTUS", "lotus"), ("waterlilly", "water lily"), ("rose", "primrose"), ("猫", "lotus")],
)
def test_the_nearest_names_come_first(name: str, first: str) -> None:
    known = ["lotus", "water lily", "primrose", "tulip", "iris", "daisy", "poppy"]
    found = conditions.nearest(name, known)
    assert (found[0], len(found)) == (first, conditions.NEAREST)
