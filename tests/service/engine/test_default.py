"""What {"seed": 42} draws: the default model is chosen once, and neither a new model nor a new process changes it."""

from pathlib import Path

import pytest

from service.engine import default, state
from service.engine.checker import Checker
from service.engine.folders import require_sound
from service.engine.library import Library, NotReadyError, UnknownModelError, load_library
from service.errors import ServiceError
from tests import tiny


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that the processes of a server share."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv(state.VARIABLE, str(folder))
    return folder


def test_candidates_are_by_name_and_newest_first() -> None:
    folders = [Path("b/1"), Path("a/2"), Path("a/10"), Path("a/draft")]
    assert default.candidates(folders, None) == ["a@10", "a@2", "b@1"]
    assert default.candidates(folders, "a") == ["a@10", "a@2"]
    assert default.candidates(folders, "a@2") == ["a@2"]
    assert default.candidates(folders, "c") == []


def test_nothing_is_chosen_while_a_model_that_comes_first_is_being_checked() -> None:
    assert default.choose(["a@1", "b@1"], ["b@1"], {"a@1"}) == default.UNDECIDED
    assert default.choose(["a@1", "b@1"], ["b@1"], set()) == "b@1"
    assert default.choose(["a@1"], [], set()) == ""


def test_the_first_choice_of_a_server_stays(shared: Path) -> None:
    assert default.choose(["b@1"], ["b@1"], set()) == "b@1"
    assert default.choose(["a@1", "b@1"], ["a@1", "b@1"], set()) == "b@1"
    assert [path.name for path in shared.iterdir()] == [default.FILE]


def test_a_reload_does_not_move_the_default(tmp_path: Path) -> None:
    tiny.write(tmp_path, tiny.card("b"))
    before = load_library(tmp_path, "cpu")
    tiny.write(tmp_path, tiny.card("a"))
    tiny.write(tmp_path, tiny.card("b", 2))
    after = load_library(tmp_path, "cpu", served=before)
    assert (after.find(None).ref, after.find("b").ref) == ("b@1", "b@2")


def test_a_worker_that_starts_later_has_the_default_of_the_others(shared: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    tiny.write(models, tiny.card("b"))
    assert require_sound(models, "cpu", Checker()) == "b@1"
    tiny.write(models, tiny.card("a"))
    assert load_library(models, "cpu").find(None).ref == "b@1"


def test_the_settings_name_the_default(tmp_path: Path) -> None:
    for name, version in (("a", 1), ("b", 1), ("b", 2)):
        tiny.write(tmp_path, tiny.card(name, version))
    assert load_library(tmp_path, "cpu", wanted="b").find(None).ref == "b@2"
    assert load_library(tmp_path, "cpu", wanted="b@1").find(None).ref == "b@1"
    with pytest.raises(ServiceError, match=r"default model c .* a@1, b@1, b@2"):
        require_sound(tmp_path, "cpu", Checker(), "c")


def test_a_default_that_was_removed_is_not_replaced_by_another(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path, tiny.card("a"))
    tiny.write(tmp_path, tiny.card("b"))
    before = load_library(tmp_path, "cpu")
    (folder / "model.onnx").unlink()
    with pytest.raises(UnknownModelError, match="b@1"):
        load_library(tmp_path, "cpu", served=before).find(None)


def test_without_a_choice_the_default_is_not_ready() -> None:
    with pytest.raises(NotReadyError):
        Library((), default=default.UNDECIDED).find(None)
