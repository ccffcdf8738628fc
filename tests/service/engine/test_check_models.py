"""What the checking process finds by drawing, where the checks that run nothing found no fault."""

import subprocess
import sys

import pytest

from service.contract import ContractError, Refusal
from service.engine import check_models
from tests import hostile, tiny
from tests.e2e.server import ROOT

LARGE = 'tiny.card("large", height=512, width=512, channels=3)'  # 50 MB a layer for a batch of 16
UNBOUNDED = f"""
from service.contract import graph
from service.engine import check_models, onnx_runtime
from tests import tiny
onnx_runtime.load()
data = tiny.model({LARGE}).SerializeToString()
check_models.check = lambda data, where, *, batch, memory: graph.check(data, where, batch=batch, memory=2**40)
for memory in (2**20, 2**29):
    print(check_models._verdict(check_models._check_model, data, 16, memory).get("kind"))
"""


@pytest.mark.parametrize("name", ["reduce-over-the-batch", "softmax-over-the-batch", "rows-reversed"])
def test_an_image_that_depends_on_its_batch_is_seen(name: str) -> None:
    with pytest.raises(ContractError) as refused:
        check_models.run(hostile.MODELS[name]().SerializeToString(), tiny.card(), 4)
    assert refused.value.kind is Refusal.ROWS_MIXED


def test_an_image_that_does_not_is_the_same_bytes_in_every_batch() -> None:
    assert check_models.run(tiny.model(tiny.conditional()).SerializeToString(), tiny.conditional(), 5)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory of a process by RLIMIT_DATA")
def test_a_file_that_takes_more_than_its_shapes_say_meets_a_limit_of_the_process() -> None:
    told = subprocess.run([sys.executable, "-c", UNBOUNDED], cwd=ROOT, capture_output=True, text=True, check=True)
    refused, passed = told.stdout.splitlines()
    assert refused in ("too-much-memory", "does-not-run")  # ONNX Runtime has an exception of its own for it
    assert passed == "None"
