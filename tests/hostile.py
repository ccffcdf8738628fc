"""Hostile model files, by name: each must be refused with a sentence, while other models are served."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from service.contract import DIGEST_FILE, INPUT, MODEL_FILE, digest_of
from tests import tiny

INT_MIN = np.iinfo(np.int32).min
Arrays = Mapping[str, Any]


def with_node(node: onnx.NodeProto, **constants: Any) -> onnx.ModelProto:
    """A good model with one more node, which reads ``latent``, ``drawn`` (N, 1, 16, 16) or the constants given."""
    made = tiny.model(tiny.card())
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    made.graph.node.append(node)
    return made


def op(kind: str, inputs: str, /, constants: Arrays | None = None, **attributes: Any) -> Callable[[], onnx.ModelProto]:
    outputs = attributes.pop("outputs", ["out"])
    return lambda: with_node(helper.make_node(kind, inputs.split(), outputs, **attributes), **(constants or {}))


def changed(change: Callable[[onnx.ModelProto], Any]) -> Callable[[], onnx.ModelProto]:
    def make() -> onnx.ModelProto:
        made = tiny.model(tiny.card())
        change(made)
        return made

    return make


def set_attribute(node: int, **attributes: Any) -> Callable[[], onnx.ModelProto]:
    """Change the attributes of the node: 0 Reshape, 1 ConvTranspose, 5 Transpose, 6 Cast."""
    return changed(
        lambda made: made.graph.node[node].attribute.extend(
            helper.make_attribute(name, value) for name, value in attributes.items()
        )
    )


def metadata(**entries: str) -> Callable[[], onnx.ModelProto]:
    return changed(lambda made: helper.set_model_props(made, {**tiny.card().to_metadata(), **entries}))


def between(*nodes: onnx.NodeProto, **constants: Any) -> Callable[[], onnx.ModelProto]:
    """Put nodes between ``squashed`` (N, 1, 16, 16) and what scales it; they make ``mixed`` of it."""

    def make() -> onnx.ModelProto:
        made = tiny.model(tiny.card())
        graph = made.graph
        graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
        before, after = list(graph.node[:3]), list(graph.node[3:])
        after[0].input[0] = "mixed"
        del graph.node[:]
        graph.node.extend([*before, *nodes, *after])
        return made

    return make


def _body(kind: str) -> onnx.GraphProto:
    value = helper.make_tensor_value_info
    yes = helper.make_node("Identity", ["going"], ["more"])
    if kind == "Loop":
        inputs = [value("i", TensorProto.INT64, []), value("going", TensorProto.BOOL, [])]
        return helper.make_graph([yes], "body", inputs, [value("more", TensorProto.BOOL, [])])
    return helper.make_graph(
        [yes], "body", [value("going", TensorProto.FLOAT, [8])], [value("more", TensorProto.FLOAT, [8])]
    )


def _pow_made_shape() -> onnx.ModelProto:
    """2 ** 31 elements whose number no shape inference sees: base ** exponent, cast to a shape."""
    made = with_node(helper.make_node("Pow", ["two", "many"], ["big"]), two=np.float32([2]), many=np.float32([31]))
    made.graph.node.append(helper.make_node("Cast", ["big"], ["shape of it"], to=TensorProto.INT64))
    made.graph.node.append(helper.make_node("Expand", ["half", "shape of it"], ["huge"]))
    return made


def _function(made: onnx.ModelProto) -> None:
    body = [helper.make_node("Mine", ["a"], ["b"])]
    made.functions.append(helper.make_function("", "Mine", ["a"], ["b"], body, [helper.make_opsetid("", 20)]))


def _external(made: onnx.ModelProto) -> None:
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def _deep() -> onnx.ModelProto:
    """A graph in a graph in a graph …"""
    made = tiny.model(tiny.card())
    graph = onnx.GraphProto(name="last")
    for _ in range(20):
        outer = onnx.GraphProto(name="outer")
        outer.node.append(helper.make_node("If", ["yes"], ["out"], then_branch=graph, else_branch=onnx.GraphProto()))
        graph = outer
    made.graph.node.extend(graph.node)
    return made


def shape(*dims: int) -> np.ndarray:
    return np.array(dims, np.int64)


_MANY = ["a", "b", "c"]
_Q = {"q": np.ones((1, 4, 8), np.float32)}
_LSTM = {
    "x": np.ones((3, 1, 4), np.float32),
    "w": np.ones((1, 32, 4), np.float32),
    "r": np.ones((1, 32, 8), np.float32),
}
MODELS: Mapping[str, Callable[[], onnx.ModelProto]] = {
    # Kernels that end the process, or did
    "conv-transpose-of-no-groups": set_attribute(1, group=0),
    "conv-transpose-of-negative-groups": set_attribute(1, group=-1),
    "conv-transpose-of-no-stride": set_attribute(1, strides=[0, 0]),
    "conv-transpose-of-a-vast-stride": set_attribute(1, strides=[2**20, 2**20]),
    "conv-transpose-of-vast-dilations": set_attribute(1, dilations=[2**30, 2**30]),
    "conv-transpose-padded-by-a-million": set_attribute(1, output_padding=[10**6, 10**6]),
    "conv-transpose-to-a-shape-of-its-own": set_attribute(1, output_shape=[2**15, 2**15]),
    "conv-of-no-groups": op("Conv", "drawn w", {"w": np.ones((1, 1, 3, 3), np.float32)}, group=0),
    "conv-of-a-huge-kernel": op("Conv", "drawn w", {"w": np.ones((1, 1, 3, 3), np.float32)}, kernel_shape=[2**20] * 2),
    "mod-of-the-least-integer": op(
        "Mod", "a b", {"a": np.int32([INT_MIN]), "b": np.int32([-1])}
    ),
    "mod-by-zero": op("Mod", "a b", {"a": np.int32([1]), "b": np.int32([0])}),
    "integer-division-by-zero": op("Div", "a b", {"a": np.int64([1]), "b": np.int64([0])}),
    "integer-division-of-the-least": op("Div", "a b", {"a": np.int32([INT_MIN]), "b": np.int32([-1])}),
    "integer-power": op("Pow", "a b", {"a": np.int64([3]), "b": np.int64([-1])}),
    "shift-by-a-thousand": op("BitShift", "a b", {"a": np.uint8([1]), "b": np.uint8([200])}, direction="LEFT"),
    "split-to-sequence-by-zero": op("SplitToSequence", "latent zero", {"zero": np.int64(0)}, axis=1),
    "sequence-empty": op("SequenceEmpty", "", dtype=TensorProto.FLOAT),
    "attention-of-no-heads": lambda: _opset(
        23, op("Attention", "q q q", _Q, q_num_heads=0, kv_num_heads=0)()
    ),
    "depth-to-space-of-no-block": op("DepthToSpace", "drawn", blocksize=0),
    "space-to-depth-of-a-vast-block": op("SpaceToDepth", "drawn", blocksize=2**31),
    "max-pool-of-no-window": op("MaxPool", "drawn", kernel_shape=[0, 0]),
    "average-pool-of-no-stride": op("AveragePool", "drawn", kernel_shape=[2, 2], strides=[0, 0]),
    "lp-pool": op("LpPool", "drawn", kernel_shape=[2, 2], p=0),
    "max-unpool": op("MaxUnpool", "drawn drawn", kernel_shape=[2, 2]),
    "roi-align": op("RoiAlign", "drawn a b", {"a": np.ones((1, 4), np.float32), "b": np.int64([9**9])}),
    "max-roi-pool": op("MaxRoiPool", "drawn a", {"a": np.ones((1, 5), np.float32)}, pooled_shape=[0, 0]),
    "grid-sample": op("GridSample", "drawn a", {"a": np.full((1, 4, 4, 2), np.nan, np.float32)}),
    "lrn-of-no-size": op("LRN", "drawn", size=0),
    "group-norm-of-no-groups": lambda: _opset(
        21, op("GroupNormalization", "drawn a a", {"a": np.float32([1])}, num_groups=0)()
    ),
    "batch-norm-in-training": op(
        "BatchNormalization", "drawn a a a a", {"a": np.float32([1])}, training_mode=1, outputs=_MANY
    ),
    "split-into-a-million": op("Split", "latent", axis=1, num_outputs=10**6, outputs=_MANY),
    "reduce-over-the-batch": between(
        helper.make_node("ReduceMean", ["squashed", "rows"], ["mean"]),
        helper.make_node("Sub", ["squashed", "mean"], ["mixed"]),
        rows=shape(0),
    ),
    "dft": op("DFT", "drawn", axis=1),
    "stft": op("STFT", "latent a", {"a": np.int64(0)}),
    "mel-weights": op(
        "MelWeightMatrix", "a a a b b", {"a": np.int64(2**30), "b": np.float32(1)}
    ),
    "hann-window": op("HannWindow", "a", {"a": np.int64(2**40)}),
    "einsum": op("Einsum", "drawn drawn", equation="abcd,efgh->abcdefgh"),
    "det": op("Det", "drawn"),
    "cum-sum-over-the-batch": between(helper.make_node("CumSum", ["squashed", "axis"], ["mixed"]), axis=np.int64(0)),
    "top-k": op("TopK", "latent k", {"k": shape(10**9)}, outputs=["v", "i"]),
    "non-zero": op("NonZero", "latent"),
    "unique": op("Unique", "latent"),
    "compress": op("Compress", "latent c", {"c": np.array([True])}),
    "non-max-suppression": op("NonMaxSuppression", "latent latent"),
    "scatter-elements": op("ScatterElements", "latent i latent", {"i": np.int64([[2**40] * 8])}),
    "scatter-nd": op("ScatterND", "latent i u", {"i": np.int64([[2**40]]), "u": np.ones((1, 8), np.float32)}),
    "gather-nd": op("GatherND", "latent i", {"i": np.int64([[2**40]])}),
    "gather-elements": op("GatherElements", "latent i", {"i": np.int64([[-(2**40)]])}),
    "range-without-end": op("Range", "a b c", {"a": np.float32(0), "b": np.float32(1e30), "c": np.float32(1e-30)}),
    "range-of-no-step": op("Range", "a b c", {"a": np.int64(0), "b": np.int64(2**62), "c": np.int64(0)}),
    "shape-of-data": op("Shape", "latent"),
    "size-of-data": op("Size", "latent"),
    "eye-like": op("EyeLike", "drawn"),
    "trilu": op("Trilu", "drawn"),
    "lstm": op("LSTM", "x w r", _LSTM, hidden_size=0),
    "gru": op("GRU", "x w r", _LSTM, hidden_size=2**31),
    "rnn": op("RNN", "x w r", _LSTM, hidden_size=-8),
    "string-concat": op("StringConcat", "a a", {"a": np.array([b"x"], object)}),
    "string-split": op("StringSplit", "a", {"a": np.array([b"x"], object)}, outputs=["b", "c"]),
    "regex": op("RegexFullMatch", "a", {"a": np.array([b"a" * 50], object)}, pattern="(a+)+b"),
    "tf-idf": op(
        "TfIdfVectorizer", "a", {"a": np.int64([1])}, max_gram_length=10**9, max_skip_count=10**9, min_gram_length=1,
        mode="TF", ngram_counts=[0], ngram_indexes=[0], pool_int64s=[1],
    ),
    "image-decoder": op("ImageDecoder", "a", {"a": np.zeros(64, np.uint8)}),
    "optional": op("Optional", "latent"),
    "random-normal": op("RandomNormal", "", shape=[2**20, 2**20]),
    "bernoulli": op("Bernoulli", "latent"),
    "dropout": op("Dropout", "latent"),
    # Control flow
    "endless-loop": op("Loop", "times yes", {"times": np.int64(2**62), "yes": np.array(True)}, body=_body("Loop")),
    "endless-scan": op("Scan", "a", {"a": np.ones((2**10, 8))}, body=_body("Scan"), num_scan_inputs=1),
    "if": op("If", "yes", {"yes": np.array(True)}, then_branch=_body("If"), else_branch=_body("If")),
    "sequence-map": op("SequenceMap", "latent", body=_body("If")),
    "branches-twenty-deep": _deep,
    "a-function-that-calls-itself": changed(_function),
    # Shapes and memory
    "tile-of-ten-gigabytes": op("Tile", "latent by", {"by": shape(1, 2**28)}),
    "expand-to-ten-gigabytes": op("Expand", "half to", {"to": shape(2**31, 2)}),
    "expand-past-int64": op("Expand", "half to", {"to": shape(2**40, 2**40)}),
    "constant-of-ten-gigabytes": op("ConstantOfShape", "to", {"to": shape(2**31, 2)}),
    "constant-of-a-computed-shape": op("ConstantOfShape", "latent"),
    "a-shape-that-pow-makes": _pow_made_shape,
    "resize-by-a-million": op("Resize", "drawn none s", {"none": np.float32([]), "s": np.float32([1, 1, 1e6, 1e6])}),
    "resize-by-nan": op("Resize", "drawn none s", {"none": np.float32([]), "s": np.float32([1, 1, np.nan, 1])}),
    "resize-by-infinity": op("Resize", "drawn none s", {"none": np.float32([]), "s": np.float32([1, 1, np.inf, 1])}),
    "resize-to-nothing": op("Resize", "drawn none s", {"none": np.float32([]), "s": np.float32([1, 1, 0, 0])}),
    "resize-of-the-batch": op("Resize", "drawn none s", {"none": np.float32([]), "s": np.float32([1.0001, 1, 1, 1])}),
    "pad-by-a-gigabyte": op("Pad", "latent by", {"by": shape(0, 0, 0, 2**31)}),
    "pad-that-moves-rows": op("Pad", "latent by", {"by": shape(1, 0, -1, 0)}),
    "pad-below-nothing": op("Pad", "latent by", {"by": shape(0, -100, 0, 0)}),
    "one-hot-of-a-billion": op(
        "OneHot", "i depth of", {"i": np.int64([1]), "depth": np.int64(2**30), "of": np.float32([0, 1])}
    ),
    "reshape-to-less": op("Reshape", "latent to", {"to": shape(-1, 3)}),
    "reshape-of-two-unknowns": op("Reshape", "latent to", {"to": shape(-1, -1)}),
    "slice-of-no-step": op("Slice", "latent a b c d", {"a": shape(0), "b": shape(8), "c": shape(1), "d": shape(0)}),
    "slice-of-rows": op("Slice", "latent a b c", {"a": shape(0), "b": shape(1), "c": shape(0)}),
    "transpose-of-the-batch": op("Transpose", "latent", perm=[1, 0]),
    "transpose-twice-by-one-axis": op("Transpose", "latent", perm=[0, 0]),
    "gather-of-rows": op("Gather", "latent i", {"i": shape(0)}, axis=0),
    "gather-by-the-latent": between(
        helper.make_node("ReduceMax", ["latent", "one"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["row"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "row"], ["found"]),
        helper.make_node("Reshape", ["found", "thin"], ["factor"]),
        helper.make_node("Mul", ["squashed", "factor"], ["mixed"]),
        one=shape(1), table=np.ones(2001, np.float32), thin=shape(-1, 1, 1, 1),
    ),
    "concat-of-rows": op("Concat", "latent latent", axis=0),
    "matmul-of-the-batch": op("MatMul", "w latent", {"w": np.ones((8, 8), np.float32)}),
    "flatten-of-the-batch": op("Flatten", "latent", axis=0),
    "softmax-over-the-batch": between(helper.make_node("Softmax", ["squashed"], ["mixed"], axis=0)),
    "rows-reversed": between(
        helper.make_node("Slice", ["squashed", "from", "to", "axis", "step"], ["mixed"]),
        **{"from": shape(-1), "to": shape(-(2**31)), "axis": shape(0), "step": shape(-1)},
    ),
    "an-intermediate-of-64-mebibytes": op("Tile", "drawn by", {"by": shape(1, 1, 256, 256)}),
    "a-rank-of-a-hundred": op("Unsqueeze", "latent a", {"a": shape(*range(1, 99))}),
    # Files that are not what they claim
    "weights-elsewhere": changed(_external),
    "weights-larger-than-the-file": changed(lambda made: made.graph.initializer[0].dims.append(2**40)),
    "weights-of-negative-size": changed(lambda made: made.graph.initializer[0].dims.append(-1)),
    "weights-of-strings": changed(
        lambda made: made.graph.initializer.append(TensorProto(name="s", data_type=TensorProto.STRING, dims=[1]))
    ),
    "weights-of-complex-numbers": op("Identity", "c", {"c": np.complex64([1j])}),
    "weights-twice": changed(lambda made: made.graph.initializer.append(made.graph.initializer[0])),
    "sparse-weights": changed(lambda made: made.graph.sparse_initializer.add()),
    "an-alpha-of-nan": op("LeakyRelu", "latent", alpha=float("nan")),
    "an-epsilon-of-infinity": op("InstanceNormalization", "drawn a a", {"a": np.float32([1])}, epsilon=float("inf")),
    "a-cast-to-text": op("Cast", "latent", to=TensorProto.STRING),
    "a-cast-to-nothing": op("Cast", "latent", to=999),
    "five-thousand-nodes": changed(
        lambda made: made.graph.node.extend(
            helper.make_node("Identity", [f"n{i}" if i else INPUT], [f"n{i + 1}"]) for i in range(5000)
        )
    ),
    "a-circle": changed(
        lambda made: made.graph.node.extend(
            [helper.make_node("Identity", ["a"], ["b"]), helper.make_node("Identity", ["b"], ["a"])]
        )
    ),
    "a-value-made-twice": op("Identity", "latent", outputs=["drawn"]),
    "an-image-that-is-a-constant": changed(lambda made: made.graph.node[0].input.__setitem__(0, "weights")),
    "a-licence-of-50-megabytes": metadata(licence="x" * 50_000_000),
    "a-data-set-of-50-megabytes": metadata(dataset='{"name": "' + "x" * 50_000_000 + '"}'),
    "a-million-metrics": metadata(metrics="[" + ",".join(['{"name":"a","value":1,"samples":1}'] * 1000) + "]"),
    "a-version-of-300-digits": metadata(version="9" * 300),
    "a-size-of-a-million": metadata(height="1000000"),
    "an-opset-of-the-future": changed(lambda made: made.opset_import[0].__setattr__("version", 99)),
    "a-foreign-domain": changed(lambda made: made.graph.node[2].__setattr__("domain", "com.microsoft")),
}  # fmt: skip


def slow() -> onnx.ModelProto:
    """A model within all bounds that takes a minute of a core to check: sixty 9×9 convolutions of 32 maps."""
    layers = [
        helper.make_node("Conv", [f"c{i}" if i else "wide", "kernel"], [f"c{i + 1}"], pads=[4] * 4) for i in range(60)
    ]
    return between(
        helper.make_node("Tile", ["squashed", "by"], ["wide"]),
        *layers,
        helper.make_node("AveragePool", ["c60"], ["small"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("ReduceMean", ["small", "maps"], ["mixed"], keepdims=1),
        by=shape(1, 32, 8, 8),
        maps=shape(1),
        kernel=np.full((32, 32, 9, 9), 1e-4, np.float32),
    )()


def _opset(version: int, made: onnx.ModelProto) -> onnx.ModelProto:
    made.opset_import[0].version = version
    return made


def write(folder: Path, name: str, data: bytes | None = None) -> Path:
    """Write a hostile model as ``folder/<name>/1``, with its right digest; returns that folder."""
    data = MODELS[name]().SerializeToString() if data is None else data
    path = folder / name / "1"
    path.mkdir(parents=True)
    (path / MODEL_FILE).write_bytes(data)
    (path / DIGEST_FILE).write_text(f"{digest_of(data)}  {MODEL_FILE}\n")
    return path


def _fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _link(to: str) -> Callable[[Path], None]:
    def link(path: Path) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(to)

    return link


def _directory(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.mkdir()


def _endless(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**33)  # a sparse file of 8 GiB


# Kinds of file in place of a regular one; applied to the model and to its digest.
KINDS: Mapping[str, Callable[[Path], None]] = {
    "fifo": _fifo,
    "link-to-zeros": _link("/dev/zero"),
    "link-to-a-secret": _link("/etc/passwd"),
    "link-to-itself": _link("model.onnx"),
    "link-to-nothing": _link("nowhere"),
    "directory": _directory,
    "sparse-giant": _endless,
}


def write_kind(folder: Path, kind: str, file: str) -> Path:
    """Write a good model as ``folder/<kind>-<file>/1``, with one file replaced by another kind of file."""
    name = f"{kind}-{file.partition('.')[0].lower()}"
    path = tiny.write(folder, tiny.card(name))
    KINDS[kind](path / file)
    return path


def write_all(folder: Path) -> list[str]:
    """Write all of them; returns the names of their folders."""
    paths = [write(folder, name) for name in MODELS]
    paths += [write_kind(folder, kind, file) for kind in KINDS for file in (MODEL_FILE, DIGEST_FILE)]
    return [path.parent.name for path in paths if (path / MODEL_FILE).exists()]
