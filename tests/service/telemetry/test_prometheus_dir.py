import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.telemetry import prometheus_dir
from service.web.app import METHODS
from tests.e2e.server import ROOT

COUNT = """
from service.telemetry import prometheus_dir
prometheus_dir.reserve()
from service.telemetry import metrics
metrics.IMAGES.labels("grey@1").inc()
print(metrics.exposition([]).decode())
"""
FULL = """
import os
def full(*_):
    raise OSError(28, "No space left on device")
os.posix_fallocate = full
"""


def count(folder: Path, code: str) -> str:
    environment = {**os.environ, prometheus_dir.VARIABLE: str(folder)}
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_what_processes_count_is_added_up_and_its_room_is_taken_beforehand(tmp_path: Path) -> None:
    assert 'nelumbo_images_total{model="grey@1"} 1.0' in count(tmp_path, COUNT)
    files = list(tmp_path.iterdir())
    assert {file.name.rpartition("_")[0] for file in files} == set(prometheus_dir.FILES)  # none that was not reserved
    assert all(file.stat().st_size == prometheus_dir.ROOM <= file.stat().st_blocks * 512 for file in files)
    assert 'nelumbo_images_total{model="grey@1"} 2.0' in count(tmp_path, COUNT)


def test_where_the_disk_is_full_a_process_counts_for_itself(tmp_path: Path) -> None:
    assert 'nelumbo_images_total{model="grey@1"} 1.0' in count(tmp_path, FULL + COUNT)
    assert not list(tmp_path.iterdir())


def test_the_room_is_enough_for_every_label_that_there_can_be(tmp_path: Path) -> None:
    everything = f"""{COUNT}
from service.telemetry import metrics
for route in range(20):
    metrics.REQUEST_SECONDS.labels("/models/{{model}}/thumbnail.png" + str(route)).observe(1)
    for method in {sorted(METHODS)[:3]}:
        for status in range(200, 210):
            metrics.REQUESTS.labels("/models/{{model}}/thumbnail.png" + str(route), method, status).inc()
"""
    count(tmp_path, everything)
    assert {file.stat().st_size for file in tmp_path.iterdir()} == {prometheus_dir.ROOM}


def test_the_room_that_a_dead_process_did_not_use_is_given_back_and_its_counts_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(prometheus_dir.VARIABLE, str(tmp_path))
    for _ in range(2):
        pid = int(count(tmp_path, f"{COUNT}\nimport os; print(os.getpid())").split()[-1])
        prometheus_dir.release(pid)
    files = {file.name.rpartition("_")[0] for file in tmp_path.iterdir()}
    assert files == {"counter", "histogram"}  # gauges are of the living
    assert max(file.stat().st_size for file in tmp_path.iterdir()) < prometheus_dir.ROOM / 4
    assert 'nelumbo_images_total{model="grey@1"} 3.0' in count(tmp_path, COUNT)


def test_where_somebody_removes_the_folder_a_process_counts_for_itself(tmp_path: Path) -> None:
    folder = tmp_path / "counts"
    folder.mkdir()
    removed = f"import shutil, service.telemetry.metrics; shutil.rmtree({str(folder)!r})\n{COUNT}"
    assert 'nelumbo_images_total{model="grey@1"} 1.0' in count(folder, removed)
