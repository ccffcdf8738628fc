"""The corpus of hostile files against the checks that run none of them."""

from pathlib import Path

import pytest

from service.contract import DIGEST_FILE, MODEL_FILE, ContractError, Refusal, graph, read_bytes, read_verified
from tests import hostile

POD = 2**30 // 2 // 2  # bytes for a batch in a pod of 1 GiB and two cores


@pytest.mark.parametrize("name", hostile.MODELS)
def test_a_hostile_graph_is_refused_unrun(name: str) -> None:
    data = hostile.MODELS[name]().SerializeToString()
    with pytest.raises(ContractError) as refused:
        graph.check(data, "model.onnx", batch=16, memory=POD)
    sentence = str(refused.value)
    assert sentence.startswith("model.onnx")
    assert sentence.isprintable()
    assert len(sentence) < 600


def test_the_corpus_has_every_family_of_operators() -> None:
    assert len(hostile.MODELS) >= 100


@pytest.mark.parametrize("file", [MODEL_FILE, DIGEST_FILE])
@pytest.mark.parametrize("kind", hostile.KINDS)
def test_only_regular_files_of_bounded_size_are_read(tmp_path: Path, kind: str, file: str) -> None:
    folder = hostile.write_kind(tmp_path, kind, file)
    with pytest.raises(ContractError, match=file) as refused:
        read_verified(folder)
    of_model = Refusal.TOO_LARGE if kind == "sparse-giant" else Refusal.UNREADABLE_FILE
    assert refused.value.kind is (of_model if file == MODEL_FILE else Refusal.NO_DIGEST)


@pytest.mark.parametrize("kind", ["fifo", "directory"])
def test_what_is_no_regular_file_is_refused_for_that(tmp_path: Path, kind: str) -> None:
    folder = hostile.write_kind(tmp_path, kind, MODEL_FILE)
    with pytest.raises(ContractError) as refused:
        read_bytes(folder / MODEL_FILE)
    assert refused.value.kind is Refusal.UNREADABLE_FILE


def test_a_graph_within_the_bounds_passes_however_slow_it_is() -> None:
    data = hostile.slow().SerializeToString()
    assert graph.check(data, "model.onnx", batch=16, memory=POD).name == "tiny"
