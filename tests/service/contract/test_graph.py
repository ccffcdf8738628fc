from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from service import contract
from service.contract import ContractError, Refusal, graph
from tests import tiny


def refusal(made: onnx.ModelProto) -> ContractError:
    with pytest.raises(ContractError) as refused:
        graph.check(made.SerializeToString(), "model.onnx")
    assert "\n" not in str(refused.value)
    return refused.value


def test_a_good_model_is_read_with_its_card(tmp_path: Path) -> None:
    described = tiny.card("tiny", 3, metrics=[{"name": "lenet-fd", "value": 1.5, "samples": 100}])
    file = graph.read_model(tiny.write(tmp_path, described))
    assert file.card == described
    assert file.digest == contract.digest_of(file.data)


def test_a_file_that_was_rewritten_for_a_provider_is_read_beside_it(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path)
    described = tiny.card(rewrite=tiny.rewrite())
    data = tiny.model(described, seed=1).SerializeToString()
    (folder / "model.openvino.onnx").write_bytes(data)
    with pytest.raises(ContractError) as refused:
        graph.read_model(folder, "model.openvino.onnx")
    assert refused.value.kind is Refusal.NO_DIGEST
    with (folder / contract.DIGEST_FILE).open("a") as file:
        file.write(f"{contract.digest_of(data)}  model.openvino.onnx\n")
    assert graph.read_model(folder, "model.openvino.onnx").card == described
    assert graph.read_model(folder).card == tiny.card()


def test_bytes_that_are_no_model_are_refused() -> None:
    with pytest.raises(ContractError) as refused:
        graph.check(b"\x00not a model", "model.onnx")
    assert refused.value.kind is Refusal.NOT_ONNX


def test_another_schema_is_refused() -> None:
    made = tiny.model(tiny.card())
    helper.set_model_props(made, {**tiny.card().to_metadata(), "schema": "3"})
    assert refusal(made).kind is Refusal.BAD_CARD
    made.ClearField("metadata_props")
    assert refusal(made).kind is Refusal.BAD_CARD


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "../etc"),
        ("version", "0"),
        ("latent_dim", "many"),
        ("dataset", "{"),
        ("dataset", "[" * 100_000),
        ("metrics", '[{"name": "fd", "value": NaN, "samples": 1}]'),
        ("rewrite", '{"provider": "openvino"}'),
    ],
)
def test_bad_metadata_is_refused_by_field(key: str, value: str) -> None:
    made = tiny.model(tiny.card())
    helper.set_model_props(made, {**tiny.card().to_metadata(), key: value})
    refused = refusal(made)
    assert refused.kind is Refusal.BAD_CARD
    assert key in str(refused)


def test_foreign_operators_are_refused() -> None:
    made = tiny.model(tiny.card())
    made.graph.node[2].domain = "com.microsoft"
    assert refusal(made).kind is Refusal.OPERATOR_NOT_ALLOWED


def test_functions_are_refused() -> None:
    made = tiny.model(tiny.card())
    opsets = [helper.make_opsetid("", 20)]
    made.functions.append(
        helper.make_function("", "Mine", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], opsets)
    )
    assert refusal(made).kind is Refusal.OPERATOR_NOT_ALLOWED


@pytest.mark.parametrize("opset", [16, 24])
def test_an_opset_that_is_not_served_is_refused(opset: int) -> None:
    made = tiny.model(tiny.card())
    made.opset_import[0].version = opset
    assert refusal(made).kind is Refusal.OPERATOR_NOT_ALLOWED


def test_random_operators_are_refused() -> None:
    made = tiny.model(tiny.card())
    made.graph.node.append(helper.make_node("RandomNormal", [], ["noise"], shape=[1]))
    assert refusal(made).kind is Refusal.OPERATOR_NOT_ALLOWED


def test_weights_in_other_files_are_refused() -> None:
    made = tiny.model(tiny.card())
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    assert refusal(made).kind is Refusal.BAD_GRAPH


def test_a_card_that_the_graph_does_not_keep_is_refused() -> None:
    made = tiny.model(tiny.card())
    helper.set_model_props(made, tiny.card(latent_dim=9).to_metadata())
    assert refusal(made).kind is Refusal.WRONG_SIGNATURE
    helper.set_model_props(made, tiny.card(height=17).to_metadata())
    assert refusal(made).kind is Refusal.WRONG_SIGNATURE
    made = tiny.model(tiny.card())
    made.graph.input[0].name = "z"
    assert refusal(made).kind is Refusal.WRONG_SIGNATURE


def test_a_fixed_batch_is_refused() -> None:
    made = tiny.model(tiny.card())
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    assert refusal(made).kind is Refusal.WRONG_SIGNATURE


def test_two_channels_are_refused() -> None:
    assert refusal(tiny.model(tiny.card(channels=2))).kind is Refusal.WRONG_SIGNATURE


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path)
    with (folder / contract.MODEL_FILE).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ContractError) as refused:
        graph.read_model(folder)
    assert refused.value.kind is Refusal.WRONG_DIGEST


def test_a_model_without_its_digest_is_refused(tmp_path: Path) -> None:
    folder = tiny.write(tmp_path)
    (folder / contract.DIGEST_FILE).write_text("")
    with pytest.raises(ContractError) as refused:
        graph.read_model(folder)
    assert refused.value.kind is Refusal.NO_DIGEST


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tiny.write(tmp_path)
    monkeypatch.setattr(contract.files, "MAX_BYTES", 10)
    with pytest.raises(ContractError) as refused:
        graph.read_model(folder)
    assert refused.value.kind is Refusal.TOO_LARGE


def look_up(*nodes: onnx.NodeProto, rows: int = 3) -> onnx.ModelProto:
    """A conditional model of three classes that looks up ``number``, which the nodes make, in so many rows, too."""
    made = tiny.model(tiny.conditional())
    more = [helper.make_node("Gather", ["more", "number"], ["row"]), helper.make_node("Add", ["moved", "row"], ["to"])]
    table = np.zeros((rows, 8), np.float32)
    made.graph.initializer.append(numpy_helper.from_array(table, "more"))
    reshape = next(node for node in made.graph.node if node.op_type == "Reshape" and "column" in node.output)
    more[1].input[0], reshape.input[0] = reshape.input[0], "to"
    at = list(made.graph.node).index(reshape)
    for offset, node in enumerate([*nodes, *more]):
        made.graph.node.insert(at + offset, node)
    return made


def test_a_table_is_looked_up_by_the_class_alone_and_has_a_row_for_each() -> None:
    cast = helper.make_node("Cast", ["label"], ["number"], to=TensorProto.INT32)
    graph.check(look_up(cast).SerializeToString(), "model.onnx")
    graph.check(look_up(cast, rows=4).SerializeToString(), "model.onnx")
    assert refusal(look_up(cast, rows=2)).kind is Refusal.WRONG_SIGNATURE
    small = helper.make_node("Cast", ["label"], ["small"], to=TensorProto.INT8)
    wide = helper.make_node("Cast", ["small"], ["number"], to=TensorProto.INT32)
    assert refusal(look_up(small, wide)).kind is Refusal.OPERATOR_NOT_ALLOWED
    twice = helper.make_node("Add", ["label", "label"], ["number"])
    assert refusal(look_up(twice, rows=9)).kind is Refusal.OPERATOR_NOT_ALLOWED
    computed = helper.make_node("Cast", ["truncation"], ["number"], to=TensorProto.INT64)
    assert refusal(look_up(computed, rows=3000)).kind is Refusal.OPERATOR_NOT_ALLOWED
