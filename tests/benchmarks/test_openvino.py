import numpy as np
import pytest
from onnxruntime import InferenceSession

from benchmarks import openvino as benchmark
from service.contract import Precision
from service.engine.providers import openvino
from service.engine.providers.registry import open_session
from tests import tiny


def test_it_compares_every_precision_that_openvino_computes_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def opened(data: bytes, provider: str, precision: Precision = Precision.FLOAT32, **_: object) -> InferenceSession:
        assert precision in openvino.PRECISIONS
        return open_session(data, "cpu")

    monkeypatch.setattr(benchmark, "open_session", opened)
    monkeypatch.setattr(benchmark, "dcgan", lambda _: (tiny.model(tiny.card()), np.zeros((8, 8), np.float32)))
    monkeypatch.setattr(benchmark, "images_per_second", lambda *_: 1.0)
    benchmark.main(size=16, turns=1)
    names = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == [
        "16 px, cpu, float32, as exported",
        *(
            f"16 px, openvino, {precision}, {name}"
            for precision in ("float32", "bfloat16")
            for name in ("as exported", "rewritten")
        ),
    ]
