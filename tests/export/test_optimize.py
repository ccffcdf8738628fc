import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from export import __main__ as main
from export import optimize, store
from export.errors import ExportError, InputError
from export.feeds import feeds_of_seeds, slices
from service import contract
from service.contract import Precision, graph
from service.contract.graph import ModelFile, read_model
from service.engine.providers import cpu, plugins
from service.engine.providers import registry as providers
from tests import tiny
from tests.export.test_main import export

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "1"


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """A copy of the shipped digits."""
    return Path(shutil.copytree(DIGITS, tmp_path / "digits" / "1", ignore=shutil.ignore_patterns("model.*.onnx")))


@pytest.fixture
def _stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the OpenVINO session by one of the CPU provider in float32, so that the test needs no OpenVINO."""
    open_session = providers.open_session

    def open_on_the_cpu(data: bytes, provider: str, **options: object) -> ort.InferenceSession:
        return open_session(data, "cpu")

    metadata = {"FULL_DEVICE_NAME": "a CPU", "OPTIMIZATION_CAPABILITIES": "FP32 BF16"}
    monkeypatch.setattr(providers, "open_session", open_on_the_cpu)
    monkeypatch.setattr(plugins.Plugin, "find_device", lambda _: SimpleNamespace(ep_metadata=metadata))


@pytest.mark.usefixtures("_stand_in")
def test_every_layer_of_the_shipped_digits_is_rewritten_and_the_error_is_measured() -> None:
    file = read_model(DIGITS)
    data, cost = optimize.optimize(file, "openvino")
    assert graph.check(data, "rewritten") == file.card.model_copy(update={"rewrite": cost})
    assert cost.source == file.digest
    assert (cost.provider, cost.precision, cost.samples, cost.device) == ("openvino", "bfloat16", 64, "a CPU")
    assert cost.largest_error <= 1  # in float32, both are the same but for the order of their sums
    assert cost.mean_error < 0.001
    operators = [node.op_type for node in onnx.load_model_from_string(data).graph.node]
    assert operators.count("Conv") == operators.count("DepthToSpace") == 4
    assert "ConvTranspose" not in operators


@pytest.mark.usefixtures("_stand_in")
def test_a_cpu_without_bfloat16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    old = SimpleNamespace(ep_metadata={"FULL_DEVICE_NAME": "An old CPU", "OPTIMIZATION_CAPABILITIES": "FP32"})
    monkeypatch.setattr(plugins.Plugin, "find_device", lambda _: old)
    with pytest.raises(ExportError, match=r"An old CPU has no bfloat16.* serve with --provider cpu"):
        optimize.optimize(read_model(DIGITS), "openvino")


@pytest.mark.usefixtures("_stand_in")
def test_the_error_is_that_of_the_worst_batch_size(monkeypatch: pytest.MonkeyPatch) -> None:
    class BatchDependentSession:
        """A session whose images are half as bright in batches of 7."""

        def __init__(self, session: ort.InferenceSession) -> None:
            self.session = session

        def run(self, names: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
            (drawn,) = self.session.run(names, feeds)
            return [drawn // 2 if len(drawn) == 7 else drawn]

    open_session = providers.open_session
    monkeypatch.setattr(
        providers,
        "open_session",
        lambda data, provider, **_: (
            BatchDependentSession(open_session(data, "cpu")) if provider == "openvino" else open_session(data, "cpu")
        ),
    )
    with pytest.raises(ExportError, match="largest pixel error is 128 levels"):
        optimize.optimize(read_model(DIGITS), "openvino")


def test_without_a_gpu_the_shipped_digits_are_measured_in_float16_on_the_cpu(digits: Path) -> None:
    result = export("optimize", digits / "model.onnx", "--provider", "cuda")
    assert result.returncode == 0, result.stderr
    assert re.search(r"float16: largest pixel error [12] levels", result.stdout)  # 0.83 before they are rounded
    assert "64 seeds on a CPU, layer by layer" in result.stdout
    subprocess.run(["sha256sum", "-c", "sha256"], cwd=digits, check=True, capture_output=True)
    file = read_model(digits, "model.cuda.onnx")
    assert len(file.data) < 0.6 * len(read_model(digits).data)
    assert file.card.rewrite is not None
    assert (file.card.rewrite.provider, file.card.rewrite.source) == ("cuda", read_model(digits).digest)
    for provider in ("cuda", "tensorrt", "tensorrt-rtx"):
        assert providers.find(provider).rewritten_file() == "model.cuda.onnx"


@pytest.mark.usefixtures("_stand_in")
def test_with_cuda_the_error_is_measured_on_the_gpu() -> None:
    _, cost = optimize.optimize(read_model(DIGITS), "cuda")
    assert (cost.precision, cost.device) == ("float16", "a GPU, by cuda")


def images(level: int = 0) -> np.ndarray:
    return np.full((4, 8, 8, 3), level, np.uint8)


def test_an_error_of_four_levels_in_a_pixel_is_allowed_and_five_are_not() -> None:
    drawn = images()
    drawn[2, 3, 4, 1] = 4
    assert optimize.pixel_error(images(), drawn, Precision.BFLOAT16) == (4, 4 / drawn.size)
    drawn[2, 3, 4, 1] = 5
    with pytest.raises(ExportError, match=r"largest pixel error is 5 levels \(seed 2\).*Nothing was written"):
        optimize.pixel_error(images(), drawn, Precision.BFLOAT16)


def test_a_mean_error_of_half_a_level_is_allowed_and_more_is_not() -> None:
    drawn = images()
    drawn[:2] = 1
    assert optimize.pixel_error(images(), drawn, Precision.BFLOAT16) == (1, 0.5)
    drawn[2, 0, 0, 0] = 1
    with pytest.raises(ExportError, match=r"the mean 0\.501"):
        optimize.pixel_error(images(), drawn, Precision.BFLOAT16)


def test_only_a_file_named_model_onnx_is_optimised(digits: Path) -> None:
    (digits / "model.onnx").rename(digits / "other.onnx")
    with pytest.raises(InputError, match=r"other\.onnx is not named model\.onnx"):
        main.optimize(digits / "other.onnx", "openvino")
    with pytest.raises(contract.ContractError) as refused:
        main.optimize(digits / "model.onnx", "openvino")
    assert refused.value.kind is contract.Refusal.UNREADABLE_FILE


def test_an_existing_rewritten_file_is_kept(digits: Path) -> None:
    store.add(b"rewritten", "model.openvino.onnx", digits)
    with pytest.raises(InputError, match="already exists; delete it"):
        main.optimize(digits / "model.onnx", "openvino")


def test_openvino_keeps_the_limits_for_the_shipped_digits_or_is_refused(digits: Path) -> None:
    tiny.need_openvino(Precision.BFLOAT16)
    result = export("optimize", digits / "model.onnx", "--provider", "openvino")
    if result.returncode == 1:  # 3 of 4 allowed levels where it was measured; another CPU may round differently
        assert "largest pixel error" in result.stderr
        assert {path.name for path in digits.iterdir()} == {path.name for path in DIGITS.iterdir()}
        return
    assert result.returncode == 0, result.stderr
    assert "bfloat16: largest pixel error" in result.stdout
    subprocess.run(["sha256sum", "-c", "sha256"], cwd=digits, check=True, capture_output=True)
    file: ModelFile = read_model(digits, "model.openvino.onnx")
    assert file.card.rewrite is not None
    assert 0 < file.card.rewrite.mean_error < 0.2  # so it did run in bfloat16


@pytest.mark.usefixtures("_stand_in")
def test_on_arm_the_error_of_the_cpu_provider_is_measured_in_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: True)
    _, cost = optimize.optimize(read_model(DIGITS), "cpu")
    assert (cost.provider, cost.precision) == ("cpu", "bfloat16")
    assert cost.largest_error <= 1  # in float32, which stands in for it here


def test_a_cpu_on_which_onnx_runtime_cannot_use_bfloat16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: False)
    with pytest.raises(ExportError, match="cannot use bfloat16 on this CPU"):
        optimize.optimize(read_model(DIGITS), "cpu")


@pytest.mark.parametrize("provider", ["cuda", "openvino", "cpu"])
@pytest.mark.usefixtures("_stand_in")
def test_a_model_with_every_input_is_rewritten_and_measured_with_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: True)
    file = read_model(tiny.write(tmp_path, tiny.conditional()))
    data, cost = optimize.optimize(file, provider)
    assert graph.check(data, "rewritten") == file.card.model_copy(update={"rewrite": cost})
    assert [value.name for value in onnx.load_model_from_string(data).graph.input] == [*file.card.inputs()]


def test_the_inputs_of_seeds_are_off_for_even_ones_and_within_the_useful_range_for_odd_ones() -> None:
    card = tiny.conditional()
    feeds = feeds_of_seeds(card, 8)
    assert {name: (one.dtype, one.shape[1:]) for name, one in feeds.items()} == {
        name: (np.dtype(one.dtype), one.row) for name, one in card.inputs().items()
    }
    random = np.random.RandomState(5)
    np.testing.assert_array_equal(feeds["latent"][5], random.randn(8).astype(np.float32))
    assert feeds["label"][5] == random.randint(3)
    assert (feeds["truncation"][::2] == 1).all()
    assert (feeds["truncation"][1::2] < 1).all()
    assert (feeds["directions"][::2] == 0).all()
    assert (np.abs(feeds["directions"][1::2]) <= [one.range for one in card.directions]).all()
    assert [len(part["latent"]) for part in slices(feeds, 3)] == [3, 3, 2]
