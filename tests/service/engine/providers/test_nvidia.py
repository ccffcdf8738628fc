"""What can be known of GPUs without one: what is asked for, what is refused, and the way of a batch, run on the CPU."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnxruntime import InferenceSession

from service.engine.library import Library, load_library
from service.engine.model import Model
from service.engine.providers import nvidia, plugins
from service.engine.providers import registry as providers
from service.engine.providers.base import SessionRequest
from service.errors import ServiceError
from service.precision import Precision
from service.settings import read_settings
from tests import tiny

BUILT_IN = ("cuda", "tensorrt")
AVAILABLE = [nvidia.TENSORRT_NAME, nvidia.CUDA_NAME]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where engines are kept, and an environment that a test may change."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE")
    return tmp_path / "cache"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Let sessions on the CPU stand in for onnxruntime-gpu's; returns what each was asked for."""
    made: list[dict[str, Any]] = []

    class Session(InferenceSession):
        def __init__(self, data: bytes, options: Any, providers: list[Any], enable_fallback: int) -> None:
            super().__init__(data, options, providers=["CPUExecutionProvider"])
            self.names = [name for name, _ in providers]
            made.append({**dict(providers), "enable_fallback": enable_fallback})

        def get_providers(self) -> list[str]:
            return [*self.names, "CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: AVAILABLE)
    return made


def data() -> bytes:
    return bytes(tiny.model(tiny.card(channels=3)).SerializeToString())


def on_gpu(folder: Path) -> Model:
    tiny.write(folder, tiny.card(channels=3))
    return load_library(folder, "cuda").find(None)


@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 2), (3, 4), (4, 4), (5, 8), (16, 16), (17, 32)])
def test_a_batch_is_filled_up_to_the_next_power_of_two(count: int, size: int) -> None:
    assert nvidia.bucket(count) == size


@pytest.mark.usefixtures("asked")
def test_every_batch_draws_what_its_latents_draw_alone(tmp_path: Path) -> None:
    model = on_gpu(tmp_path)
    plain = Model(model.card, model.digest, "cpu", model.session)
    latents = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32)
    wanted = plain.run(latents)
    for count in range(1, 10):
        drawn = model.run(latents[:count])
        np.testing.assert_array_equal(drawn, wanted[:count])
        assert drawn.flags.c_contiguous  # the encoders read it as it is


@pytest.mark.usefixtures("asked")
def test_a_session_only_sees_batches_that_were_warmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    tiny.write(tmp_path, tiny.card(channels=3))

    def run_with_iobinding(session: InferenceSession, binding: Any) -> None:
        seen.append(binding.get_outputs()[0].shape()[0])

    monkeypatch.setattr(InferenceSession, "run_with_iobinding", run_with_iobinding)
    model = load_library(tmp_path, "cuda", max_batch=6).find(None)
    warmed = set(seen)
    for count in range(1, 7):
        model.run(np.zeros((count, 8), np.float32))
    assert set(seen) == warmed == {1, 2, 4, 8}


@pytest.mark.usefixtures("asked")
def test_a_gpu_promises_no_bytes(tmp_path: Path, library: Library) -> None:
    assert on_gpu(tmp_path).deterministic == "approximate"
    assert library.find("grey").deterministic == "exact"


def test_cuda_gets_no_more_memory_than_it_asks_for_and_draws_float32_in_float32(asked: list[dict[str, Any]]) -> None:
    providers.open_session(data(), "cuda", max_batch=6)
    (made,) = asked
    assert made[nvidia.CUDA_NAME]["arena_extend_strategy"] == "kSameAsRequested"
    assert (made[nvidia.CUDA_NAME]["use_tf32"], os.environ["NVIDIA_TF32_OVERRIDE"]) == ("0", "0")
    assert nvidia.TENSORRT_NAME not in made
    assert made["enable_fallback"] == 0


def test_tensorrt_gets_one_engine_for_all_buckets_and_cuda_beside_it(asked: list[dict[str, Any]], cache: Path) -> None:
    providers.open_session(data(), "tensorrt", max_batch=6)
    (made,) = asked
    assert list(made)[:2] == [nvidia.TENSORRT_NAME, nvidia.CUDA_NAME]
    options = made[nvidia.TENSORRT_NAME]
    assert [options[f"trt_profile_{kind}_shapes"] for kind in ("min", "opt", "max")] == [
        "latent:1x8",
        "latent:8x8",
        "latent:8x8",
    ]
    assert "trt_fp16_enable" not in options
    folder = Path(options["trt_engine_cache_path"])
    assert folder.is_relative_to(cache)
    assert folder.stat().st_mode & 0o077 == 0  # an engine is a program: nobody else may put one there


def test_an_engine_takes_the_batches_that_warm_a_model(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    tiny.write(tmp_path)
    load_library(tmp_path, "tensorrt", max_batch=5)
    assert asked[0][nvidia.TENSORRT_NAME]["trt_profile_max_shapes"] == "latent:8x8"


def test_tensorrt_draws_in_float16_what_was_measured_in_it(asked: list[dict[str, Any]]) -> None:
    providers.open_session(data(), "tensorrt", precision=Precision.FLOAT16)
    assert asked[0][nvidia.TENSORRT_NAME]["trt_fp16_enable"] == "1"


def test_two_models_share_no_engines(cache: Path) -> None:
    assert nvidia.engine_cache(b"one") != nvidia.engine_cache(b"two")


def test_without_a_place_for_engines_it_runs_all_the_same(
    asked: list[dict[str, Any]], cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache.touch()
    providers.open_session(data(), "tensorrt")
    assert "trt_engine_cache_path" not in asked[0][nvidia.TENSORRT_NAME]
    assert "built again at every start" in caplog.text


def test_the_rtx_plug_in_is_asked_for_the_same_shapes(cache: Path) -> None:
    asked = nvidia.rtx_options(SessionRequest(data(), max_batch=16))
    assert asked["nv_profile_max_shapes"] == "latent:16x8"
    assert Path(asked["nv_runtime_cache_path"]).is_relative_to(cache)


def test_without_the_rtx_plug_in_it_says_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, nvidia.RTX.package, None)
    with pytest.raises(ServiceError, match=r"not installed; it needs pip install 'nelumbo\[tensorrt-rtx\]', or choose"):
        providers.require("tensorrt-rtx")


def test_without_a_gpu_the_rtx_plug_in_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins.Plugin, "_load", lambda _: True)
    with pytest.raises(ServiceError, match="takes NVIDIA's RTX GPUs only, and none is here; choose --provider cpu"):
        providers.require("tensorrt-rtx")


def test_a_plug_in_that_misses_a_library_says_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "libbroken.so"
    broken.write_bytes(b"no library")
    monkeypatch.setitem(sys.modules, nvidia.RTX.package, SimpleNamespace(get_library_path=lambda: str(broken)))
    with pytest.raises(ServiceError, match=r"does not start here \(.*libbroken\.so: "):
        providers.require("tensorrt-rtx")


@pytest.mark.parametrize("provider", BUILT_IN)
def test_nothing_falls_back_to_the_cpu_silently(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, provider: str) -> None:
    class Fallen:
        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: AVAILABLE)
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *_, **__: Fallen())
    tiny.write(tmp_path)
    with pytest.raises(ServiceError, match="does not start here"):
        load_library(tmp_path, provider)


def test_a_missing_library_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any, **__: Any) -> None:
        raise RuntimeError("Please install TensorRT libraries\nand more")

    monkeypatch.setattr(onnxruntime, "InferenceSession", missing)
    with pytest.raises(ServiceError, match="tensorrt misses a library, which the log names; choose --provider cpu"):
        nvidia.open_built_in(SessionRequest(data()), "tensorrt")


@pytest.mark.parametrize("provider", [one.name for one in providers.PROVIDERS.values() if not one.on_cores])
def test_an_accelerator_is_served_by_one_worker_unless_more_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    monkeypatch.setattr("service.cpus.available", lambda: 8)
    assert (read_settings().workers, read_settings(provider=provider).workers) == (4, 1)
    assert read_settings(provider=provider, workers=3).workers == 3


def test_both_builds_of_onnx_runtime_are_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvidia, "distribution", lambda name: name)
    with pytest.raises(ServiceError, match="onnxruntime and onnxruntime-gpu are both installed"):
        providers.require("cuda")


def test_every_input_of_a_graph_has_a_profile(asked: list[dict[str, Any]]) -> None:
    model = tiny.model(tiny.card())
    model.graph.input.append(helper.make_tensor_value_info("truncation", TensorProto.FLOAT, ["N"]))
    nvidia.open_built_in(SessionRequest(model.SerializeToString(), max_batch=3), "tensorrt")
    assert asked[0][nvidia.TENSORRT_NAME]["trt_profile_max_shapes"] == "latent:4x8,truncation:4"
