import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import helper

from service.engine.providers import openvino, plugins
from service.engine.providers import registry as providers
from service.engine.providers.base import SessionRequest
from service.errors import ServiceError
from service.precision import Precision
from tests import tiny


def device(kind: str = "CPU", capabilities: str = "BF16 FP32", name: str = openvino.PLUGIN.runtime_name) -> Any:
    metadata = {"ov_device": kind, "OPTIMIZATION_CAPABILITIES": capabilities}
    return SimpleNamespace(ep_name=name, ep_metadata=metadata)


def test_without_the_plug_in_it_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime_ep_openvino", None)
    with pytest.raises(ServiceError, match=r"not installed; it needs pip install 'nelumbo\[openvino\]', or choose"):
        providers.require("openvino")


def test_a_cpu_that_it_does_not_take_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins.Plugin, "_load", lambda _: True)
    others = [device(name="CPUExecutionProvider"), device("GPU")]
    monkeypatch.setattr(onnxruntime, "get_ep_devices", lambda: others)
    with pytest.raises(ServiceError, match="takes Intel's CPUs only, and this is none; choose --provider cpu"):
        providers.require("openvino")


def test_a_session_has_as_many_streams_as_batches_run_at_once() -> None:
    asked = openvino.properties(device(), SessionRequest(b"", Precision.BFLOAT16, slots=3))
    assert asked["NUM_STREAMS"] == asked["INFERENCE_NUM_THREADS"] == "3"
    assert asked["INFERENCE_PRECISION_HINT"] == "bf16"


def test_without_bfloat16_it_warns_and_draws_in_float32(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        asked = openvino.properties(device(capabilities="FP32"), SessionRequest(b"", Precision.BFLOAT16))
    assert "no bfloat16" in caplog.text
    assert asked["INFERENCE_PRECISION_HINT"] == "f32"


@pytest.fixture
def _plugged() -> None:
    tiny.need_openvino()


@pytest.mark.usefixtures("_plugged")
@pytest.mark.parametrize("precision", openvino.PRECISIONS)
def test_it_draws_what_the_cpu_provider_draws_at_every_batch(precision: Precision) -> None:
    data = tiny.model(tiny.card(channels=3)).SerializeToString()
    latents = np.random.default_rng(0).normal(size=(16, 8)).astype(np.float32)
    (wanted,) = providers.open_session(data, "cpu").run(None, {"latent": latents})
    session = providers.open_session(data, "openvino", slots=2, precision=precision)
    for batch in range(1, 17):
        (drawn,) = session.run(None, {"latent": latents[:batch]})
        difference = np.abs(wanted[:batch].astype(int) - drawn)
        assert difference.max() <= 1 if precision is Precision.FLOAT32 else difference.mean() < 1


@pytest.mark.usefixtures("_plugged")
def test_an_operator_that_it_does_not_have_is_not_left_to_the_cpu_provider() -> None:
    model = tiny.model(tiny.card())
    parts = [
        helper.make_node("Optional", ["latent"], ["maybe"]),
        helper.make_node("OptionalGetElement", ["maybe"], ["z"]),
    ]
    model.graph.node[0].input[0] = "z"
    nodes = [*parts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    data = model.SerializeToString()
    providers.open_session(data, "cpu")
    with pytest.raises(Exception, match="fallback to CPU EP has been explicitly disabled"):
        providers.open_session(data, "openvino")


@pytest.mark.usefixtures("_plugged")
def test_it_leaves_no_files_behind(tmp_path: Path) -> None:
    home, here, temporary = (tmp_path / name for name in ("home", "here", "temporary"))
    for folder in (home, here, temporary):
        folder.mkdir()
    path = tiny.write(tmp_path / "models")
    code = (
        "from service.engine.library import load_library; from pathlib import Path; import sys; "
        "print(load_library(Path(sys.argv[1]), 'openvino').find(None).session.get_providers()[0])"
    )
    places = {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", code, str(path.parents[1])]
    result = subprocess.run(
        command, cwd=here, env=os.environ | places, capture_output=True, text=True, check=True, timeout=120
    )
    assert openvino.PLUGIN.runtime_name in result.stdout
    assert [*home.iterdir(), *here.iterdir(), *temporary.iterdir()] == []
