import logging
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper
from onnxruntime import InferenceSession

from export import store
from service import memory
from service.contract import Precision, Refusal, graph
from service.engine import state, verdicts
from service.engine.checker import Checker
from service.engine.folders import require_sound
from service.engine.library import Library, NotReadyError, UnknownModelError, load_library
from service.engine.providers import cpu
from service.engine.providers import registry as providers
from service.engine.verdicts import Verdict
from service.errors import ServiceError
from tests import tiny


def test_the_first_name_and_the_newest_version_are_the_default(tmp_path: Path) -> None:
    for name, version in [("b", 1), ("a", 2), ("a", 10), ("a", 1)]:
        tiny.write(tmp_path, tiny.card(name, version))
    library = load_library(tmp_path, "cpu")
    assert [model.ref for model in library] == ["a@10", "a@2", "a@1", "b@1"]
    assert library.find(None).ref == library.find("a").ref == "a@10"
    assert library.find("a@2").ref == "a@2"


@pytest.mark.parametrize("ref", ["", "c", "a@2", "a@01", "a@", "@1", "a@1@1", "../a"])
def test_a_model_that_is_not_there_is_not_found(tmp_path: Path, ref: str) -> None:
    tiny.write(tmp_path, tiny.card("a"))
    with pytest.raises(UnknownModelError, match="a@1"):
        load_library(tmp_path, "cpu").find(ref)


def test_a_bad_model_is_refused_in_one_sentence_and_the_others_serve(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny.write(tmp_path, tiny.card("good"))
    (tiny.write(tmp_path, tiny.card("bad")) / "model.onnx").write_bytes(b"broken")
    with caplog.at_level(logging.ERROR):
        library = load_library(tmp_path, "cpu")
    assert [model.ref for model in library] == ["good@1"]
    (record,) = caplog.records
    assert "bad/1/model.onnx" in record.getMessage()
    assert f"({Refusal.WRONG_DIGEST.slug})" in record.getMessage()


@pytest.mark.parametrize("numbers", [[-1, 5, 1, 1], [2, 8, 1, 1]])  # of 8: no 5 channels; two pictures, but not one
def test_a_model_that_breaks_when_it_runs_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, numbers: list[int]
) -> None:
    made = tiny.model(tiny.card("bad"))
    shape = next(tensor for tensor in made.graph.initializer if tensor.name == "shape")
    shape.raw_data = np.array(numbers, np.int64).tobytes()
    tiny.write(tmp_path, tiny.card("bad"), made)
    tiny.write(tmp_path, tiny.card("good"))
    library = load_library(tmp_path, "cpu", max_batch=4)
    assert [model.ref for model in library] == ["good@1"]
    assert [error.kind for error in library.refused] == [Refusal.BAD_GRAPH]
    assert "bad/1/model.onnx" in caplog.text


def test_a_model_that_draws_another_shape_than_it_says_is_refused(tmp_path: Path) -> None:
    described = tiny.card("bad")
    made = tiny.model(tiny.card("bad", height=8))
    made.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 16
    helper.set_model_props(made, described.to_metadata())
    tiny.write(tmp_path, described, made)
    with pytest.raises(ServiceError, match=Refusal.BAD_GRAPH.slug):
        load_library(tmp_path, "cpu")


def test_a_folder_with_another_name_than_the_card_is_refused(tmp_path: Path) -> None:
    tiny.write(tmp_path, tiny.card("a")).parent.rename(tmp_path / "b")
    with pytest.raises(ServiceError, match=Refusal.WRONG_FOLDER.slug):
        load_library(tmp_path, "cpu")


def test_a_folder_of_damaged_models_is_an_error_before_a_server_starts(tmp_path: Path) -> None:
    cut = tiny.write(tmp_path, tiny.card("cut")) / "model.onnx"
    cut.write_bytes(cut.read_bytes()[:-1])
    tiny.write(tmp_path, tiny.card("renamed")).parent.rename(tmp_path / "other")
    (tiny.write(tmp_path, tiny.card("unsigned")) / "sha256").unlink()
    with pytest.raises(ServiceError) as refused:
        require_sound(tmp_path, "cpu", Checker())
    for kind in (Refusal.WRONG_DIGEST, Refusal.WRONG_FOLDER, Refusal.NO_DIGEST):
        assert f"({kind.slug})" in str(refused.value)
    tiny.write(tmp_path, tiny.card("whole"))
    require_sound(tmp_path, "cpu", Checker())


def test_an_empty_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="no model in"):
        load_library(tmp_path, "cpu")


def test_a_batch_draws_what_single_runs_draw(tmp_path: Path) -> None:
    tiny.write(tmp_path, tiny.card(channels=3))
    model = load_library(tmp_path, "cpu").find(None)
    latents = np.random.default_rng(0).normal(size=(7, 8)).astype(np.float32)
    batch = model.run(latents)
    assert batch.shape == (7, 16, 16, 3)
    for latent, image in zip(latents, batch, strict=True):
        np.testing.assert_array_equal(model.run(latent[None])[0], image)


def test_a_session_keeps_the_memory_of_its_batches_only_where_that_is_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write(tmp_path, tiny.card("large", height=64, width=64, channels=3))
    tiny.write(tmp_path, tiny.card("small"))
    monkeypatch.setattr(memory, "available", lambda: cpu.ARENAS * 2**20)
    loaded = load_library(tmp_path, "cpu", max_batch=16)
    kept = {model.ref: model.session.get_session_options().enable_cpu_mem_arena for model in loaded}
    assert kept == {"large@1": False, "small@1": True}


def test_a_provider_gets_the_file_that_was_rewritten_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, dict[str, object]]] = []
    open_session = providers.open_session

    def open_on_the_cpu(data: bytes, provider: str, **options: object) -> InferenceSession:
        assert options.pop("memory")  # which follows from the file
        opened.append((provider, options))
        return open_session(data, "cpu")

    monkeypatch.setattr(providers, "require", providers.find)
    monkeypatch.setattr(providers, "open_session", open_on_the_cpu)
    folder = tiny.write(tmp_path, tiny.card("both"))
    tiny.write(tmp_path, tiny.card("one"))
    described = tiny.card("both", rewrite=tiny.rewrite())
    store.add(tiny.model(described).SerializeToString(), "model.openvino.onnx", folder)
    both, one = load_library(tmp_path, "openvino", slots=3, max_batch=5)
    assert both.digest == graph.read_model(folder, "model.openvino.onnx").digest
    assert both.card.rewrite == tiny.rewrite()
    assert one.card.rewrite is None
    assert opened == [
        ("openvino", {"precision": Precision.BFLOAT16, "slots": 3, "max_batch": 5}),
        (
            "openvino",
            {"precision": Precision.FLOAT32, "slots": 3, "max_batch": 5},
        ),  # nobody measured it in bfloat16
    ]
    monkeypatch.undo()
    assert load_library(tmp_path, "cpu").find("both").digest == graph.read_model(folder).digest


def test_an_unknown_provider_is_refused_with_those_there_are() -> None:
    with pytest.raises(ServiceError, match=", ".join(providers.PROVIDERS)):
        providers.require("abacus")


def test_a_provider_that_is_not_installed_is_refused_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    for provider in ("cuda", "tensorrt"):
        with pytest.raises(ServiceError, match="onnxruntime-gpu in place of onnxruntime"):
            providers.require(provider)


def test_an_export_that_is_not_done_yet_is_not_looked_at(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path, tiny.card("a"))
    shutil.copytree(folder, folder.with_name(".partial-x1y2"))
    assert not load_library(tmp_path, "cpu").refused


def test_a_second_reading_takes_over_what_has_not_changed(tmp_path: Path) -> None:
    tiny.write(tmp_path, tiny.card("a"))
    replaced = tiny.write(tmp_path, tiny.card("b"))
    first = load_library(tmp_path, "cpu")
    shutil.rmtree(replaced)
    tiny.write(tmp_path, tiny.card("b"), tiny.model(tiny.card("b"), seed=1))
    tiny.write(tmp_path, tiny.card("a", 2))
    second = load_library(tmp_path, "cpu", served=first)
    assert [model.ref for model in second] == ["a@2", "a@1", "b@1"]
    assert second.find("a@1") is first.find("a@1")
    assert second.find("b").digest != first.find("b").digest


def test_a_reload_reads_the_readme_of_an_unchanged_model_again(tmp_path: Path) -> None:
    path = tiny.write(tmp_path, tiny.card("a"))
    first = load_library(tmp_path, "cpu")
    (path / "README.md").write_text("# New")
    second = load_library(tmp_path, "cpu", served=first)
    assert (first.find("a").readme, second.find("a").readme) == (None, "# New")
    assert second.find("a").session is first.find("a").session


def test_a_model_that_has_become_bad_is_refused_and_served_as_it_was(tmp_path: Path) -> None:
    path = tiny.write(tmp_path, tiny.card("a"))
    first = load_library(tmp_path, "cpu")
    (path / "sha256").write_text(f"{'0' * 64}  model.onnx\n")
    second = load_library(tmp_path, "cpu", served=first)
    assert list(second) == list(first)
    (error,) = second.refused
    assert error.kind is Refusal.WRONG_DIGEST


class NewestLast(Checker):
    def check(self, files: Sequence[Path], nice: int = 0) -> Iterator[tuple[Path, Verdict]]:
        yield from reversed([*super().check(files, nice)])


@pytest.fixture
def _nothing_is_known() -> None:
    """Forget what other tests found: what is known is served first."""
    verdicts.verdicts.cache_clear()


@pytest.mark.usefixtures("_nothing_is_known")
def test_a_model_that_is_being_loaded_is_awaited_and_not_unknown(tmp_path: Path) -> None:
    for name, version in [("c", 1), ("b", 1), ("b", 2), ("a", 1)]:
        tiny.write(tmp_path, tiny.card(name, version))
    shown: list[Library] = []
    load_library(tmp_path, "cpu", publish=shown.append, checker=NewestLast())
    refs = [[model.ref for model in library] for library in shown]
    assert refs == [["c@1"], ["b@1", "c@1"], ["b@2", "b@1", "c@1"], ["a@1", "b@2", "b@1", "c@1"]]
    for library in shown[:2]:
        for ref in ("b", "b@2"):  # the older version is not what b is going to mean
            with pytest.raises(NotReadyError):
                library.find(ref)
    assert shown[1].find("b@1").ref == "b@1"
    assert shown[2].find("b").ref == "b@2"
    with pytest.raises(UnknownModelError):
        shown[0].find("d")


@pytest.mark.usefixtures("_nothing_is_known")
def test_a_name_means_its_old_version_until_the_new_one_is_loaded(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tiny.write(tmp_path, tiny.card(name))
    before = load_library(tmp_path, "cpu")
    for name in ("a", "b"):
        tiny.write(tmp_path, tiny.card(name, 2))
    shown: list[Library] = []
    load_library(tmp_path, "cpu", served=before, publish=shown.append)
    assert (shown[0].find("a").ref, shown[0].find("b").ref) == ("a@2", "b@1")
    with pytest.raises(NotReadyError):
        shown[0].find("b@2")


@pytest.mark.usefixtures("_nothing_is_known")
def test_a_worker_that_starts_later_goes_on_with_what_a_name_means_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, shared = tmp_path / "models", tmp_path / "state"
    shared.mkdir()
    monkeypatch.setenv(state.VARIABLE, str(shared))
    tiny.write(models, tiny.card("a"))
    load_library(models, "cpu")
    for name, version in [("a", 2), ("b", 1), ("b", 2)]:
        tiny.write(models, tiny.card(name, version))
    shown: list[Library] = []
    load_library(models, "cpu", publish=shown.append)
    assert [library.find("a").ref for library in shown[:2]] == ["a@1", "a@2"]
    with pytest.raises(NotReadyError):  # nobody has served b
        shown[0].find("b")
    assert shown[-1].find("b").ref == "b@2"
