import logging
from pathlib import Path

import pytest

from service.engine.providers import cpu
from service.engine.providers.base import SessionRequest
from service.precision import Precision
from tests import tiny


@pytest.mark.parametrize(
    ("machine", "features", "has"),
    [
        ("aarch64", "Features\t: fp asimd bf16 i8mm", True),
        ("aarch64", "Features\t: fp asimd", False),
        ("x86_64", "flags\t: avx512_bf16", False),
        ("arm64", "Features\t: bf16", False),  # a Mac: ONNX Runtime has these kernels on Linux only
    ],
)
def test_bfloat16_is_that_of_arm_on_linux(
    machine: str, features: str, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{features}\n")
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(cpu.platform, "machine", lambda: machine)
    assert cpu.has_bfloat16() is has


def test_a_session_in_bfloat16_asks_for_it_and_one_in_float32_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: True)
    data = tiny.model(tiny.card()).SerializeToString()
    for precision, value in ((Precision.BFLOAT16, "1"), (Precision.FLOAT32, None)):
        options = cpu.open_session(SessionRequest(data, precision)).get_session_options()
        try:
            asked = options.get_session_config_entry(cpu.ARM_BFLOAT16)
        except RuntimeError:  # it is not set
            asked = None
        assert asked == value


def test_a_cpu_without_bfloat16_draws_in_float32_and_warns(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cpu, "has_bfloat16", lambda: False)
    data = tiny.model(tiny.card()).SerializeToString()
    with caplog.at_level(logging.WARNING):
        cpu.open_session(SessionRequest(data, Precision.BFLOAT16))
    assert [record.name for record in caplog.records] == ["bentoml.nelumbo.cpu"]
