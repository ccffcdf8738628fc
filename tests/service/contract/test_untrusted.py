"""Model files that somebody made to do harm: each is refused in one sentence, before ONNX Runtime sees it."""

import contextlib
import os
import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from service import contract
from service.contract import ContractError, Refusal, graph
from service.engine.library import load_library
from service.errors import ServiceError
from tests import tiny
from tests.service.contract.test_graph import refusal

GIGA = 10 * 2**30


def refused(folder: Path) -> Refusal:
    with pytest.raises(ContractError) as error:
        graph.read_model(folder)
    return error.value.kind


def external(tensor: TensorProto, location: str) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def with_node(*nodes: onnx.NodeProto, **constants: np.ndarray) -> onnx.ModelProto:
    made = tiny.model(tiny.card())
    made.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    made.graph.node.extend(nodes)
    return made


@pytest.mark.parametrize("location", ["../../../etc/passwd", "/etc/passwd", "weights.bin", "..\\weights.bin"])
def test_external_weights_are_refused_wherever_they_point(location: str) -> None:
    made = tiny.model(tiny.card())
    external(made.graph.initializer[0], location)
    assert refusal(made).kind is Refusal.BAD_GRAPH
    tensor = TensorProto(name="far", dims=[1], data_type=TensorProto.FLOAT)
    external(tensor, location)
    node = helper.make_node("Constant", [], ["far"], value=tensor)
    assert refusal(with_node(node)).kind is Refusal.BAD_GRAPH


def test_a_link_that_leads_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "models")
    outside = tmp_path / "outside.onnx"
    (folder / contract.MODEL_FILE).rename(outside)
    (folder / contract.MODEL_FILE).symlink_to(outside)
    assert refused(folder) is Refusal.UNREADABLE_FILE


def test_links_within_the_folder_are_followed_as_kubernetes_mounts_are(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "models")
    (folder / "..data").mkdir()
    (folder / contract.MODEL_FILE).rename(folder / "..data" / "it")
    (folder / contract.MODEL_FILE).symlink_to("..data/it")
    assert graph.read_model(folder).card == tiny.card()
    (tmp_path / "link").symlink_to(folder)
    assert graph.read_model(tmp_path / "link").card == tiny.card()


def test_a_readme_that_links_out_of_the_folder_is_not_shown(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "models")
    (tmp_path / "secret").write_text("horse")
    (folder / "README.md").symlink_to(tmp_path / "secret")
    assert load_library(tmp_path / "models", "cpu").find(None).readme is None


@pytest.mark.parametrize("name", [contract.MODEL_FILE, "README.md"])
def test_a_pipe_does_not_block_the_reader(tmp_path: Path, name: str) -> None:
    folder = tiny.write(tmp_path / "models", tiny.card("pipe"))
    tiny.write(tmp_path / "models", tiny.card("good"))
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    started = time.monotonic()
    assert "good@1" in [model.ref for model in load_library(tmp_path / "models", "cpu")]
    assert time.monotonic() - started < 60


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.ml", "evil"])
@pytest.mark.parametrize("declared", [True, False])
def test_a_custom_operator_is_refused(domain: str, declared: bool) -> None:
    made = with_node(helper.make_node("Run", ["image"], ["out"], domain=domain))
    made.opset_import.extend([helper.make_opsetid(domain, 1)] if declared else [])
    assert refusal(made).kind is Refusal.OPERATOR_NOT_ALLOWED


@pytest.mark.parametrize("dims", [[GIGA], [2**20, 2**20], [2**62, 2**62], [-1], [-8, -1]])
def test_weights_that_say_they_are_larger_than_the_file_are_refused(dims: list[int]) -> None:
    made = tiny.model(tiny.card())
    made.graph.initializer.append(TensorProto(name="huge", dims=dims, data_type=TensorProto.FLOAT, raw_data=b"1234"))
    assert refusal(made).kind is Refusal.BAD_GRAPH


@pytest.mark.parametrize(
    "node",
    [
        helper.make_node("ConstantOfShape", ["shape of it"], ["huge"]),
        helper.make_node("Expand", ["half", "shape of it"], ["huge"]),
        helper.make_node("Tile", ["row", "shape of it"], ["huge"]),
    ],
)
def test_a_value_of_ten_gigabytes_is_refused_before_it_is_made(node: onnx.NodeProto) -> None:
    shape = np.array([GIGA // 4], np.int64)
    made = with_node(node, **{"shape of it": shape, "row": np.ones(1)})
    assert refusal(made).kind is Refusal.TOO_MUCH_MEMORY


def test_a_picture_larger_than_any_card_may_say_is_refused() -> None:
    made = tiny.model(tiny.card())
    helper.set_model_props(made, {**tiny.card().to_metadata(), "height": "100000", "width": "100000"})
    assert refusal(made).kind is Refusal.BAD_CARD


@pytest.mark.parametrize("kind", ["Loop", "If"])
def test_a_graph_with_a_loop_is_refused(kind: str) -> None:
    body = helper.make_graph([], "body", [], [])
    attributes = {"Loop": {"body": body}, "If": {"then_branch": body, "else_branch": body}}[kind]
    made = with_node(helper.make_node(kind, [], ["out"], **attributes))
    assert refusal(made).kind is Refusal.OPERATOR_NOT_ALLOWED


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused_even_with_its_digest(tmp_path: Path, part: float) -> None:
    folder = tiny.write(tmp_path)
    data = (folder / contract.MODEL_FILE).read_bytes()
    cut = data[: int(len(data) * part)]
    (folder / contract.MODEL_FILE).write_bytes(cut)
    assert refused(folder) is Refusal.WRONG_DIGEST
    (folder / contract.DIGEST_FILE).write_text(f"{contract.digest_of(cut)}  {contract.MODEL_FILE}\n")
    assert refused(folder) in (Refusal.NOT_ONNX, Refusal.BAD_CARD)


@pytest.mark.parametrize("data", [b"", b"\0" * 1000, b"\x80\x04\x95cos\nsystem\n", b"PK\x03\x04", b"\x7fELF", b"{}"])
def test_a_file_that_is_not_onnx_is_refused(tmp_path: Path, data: bytes) -> None:
    folder = tiny.write(tmp_path)
    (folder / contract.MODEL_FILE).write_bytes(data)
    (folder / contract.DIGEST_FILE).write_text(f"{contract.digest_of(data)}  {contract.MODEL_FILE}\n")
    assert refused(folder) in (Refusal.NOT_ONNX, Refusal.BAD_CARD)


def test_flipped_bytes_are_never_an_exception_of_another_kind() -> None:
    """One bad file must not keep the others from being served."""
    made = np.random.default_rng(0)
    data = tiny.model(tiny.card()).SerializeToString()
    for _ in range(1000):
        spoilt = bytearray(data)
        for at in made.integers(len(data), size=3):
            spoilt[at] = made.integers(256)
        with contextlib.suppress(ContractError):
            graph.check(bytes(spoilt), "model.onnx")


@pytest.mark.parametrize("name", ["latent\nINFO all is well", "\x1b[2J", "\u202e"])
def test_a_name_in_a_file_writes_no_line_of_its_own_in_the_log(name: str) -> None:
    made = tiny.model(tiny.card())
    made.graph.input[0].name = name
    assert str(refusal(made)).isprintable()
    helper.set_model_props(made, {**tiny.card().to_metadata(), "schema": name})
    assert str(refusal(made)).isprintable()


def test_nor_does_a_name_that_the_runtime_quotes(tmp_path: Path) -> None:
    made = tiny.model(tiny.card())
    made.graph.node[0].name = "\x1b[2J"
    next(tensor for tensor in made.graph.initializer if tensor.name == "shape").raw_data = np.array(
        [-1, 5, 1, 1]
    ).tobytes()
    tiny.write(tmp_path, tiny.card(), made)
    with pytest.raises(ServiceError, match="none of the models") as error:
        load_library(tmp_path, "cpu")
    assert str(error.value).isprintable()


def test_a_name_that_is_no_text_is_refused() -> None:
    data = tiny.model(tiny.card()).SerializeToString().replace(b"latent", b"\xff\xfeten")
    with pytest.raises(ContractError) as error:
        graph.check(data, "model.onnx")
    assert error.value.kind is Refusal.NOT_ONNX
