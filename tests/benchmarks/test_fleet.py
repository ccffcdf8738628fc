"""The measurement of several servers behind a proxy, on the smallest of models."""

import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from benchmarks import cpu_share, fleet
from benchmarks.fleet import Bulk, Measured
from benchmarks.serving import process, wrk
from benchmarks.serving.speed import Speed
from tests import tiny


@pytest.fixture
def models(tmp_path: Path) -> Path:
    tiny.write(tmp_path / "models")
    return tmp_path / "models"


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("haproxy") and shutil.which("wrk")), reason="haproxy or wrk is not here")
def test_every_number_of_servers_is_measured_and_all_of_them_draw(models: Path, tmp_path: Path) -> None:
    draw = partial(wrk.draw, connections=4, seconds=1, model="tiny@1")
    measured = fleet.serve(tmp_path, models, "tiny@1", draw, turns=1)
    alone, *behind, cached = (runs[0] for runs in measured.values())
    assert (alone.proxy, alone.shares) == (0, ())
    assert [len(one.shares) for one in behind] == [1, 2, 4]
    assert all(one.speed.rate > 0 and one.servers > 0 and one.proxy > 0 for one in behind)
    assert all(0 < share < 4 for one in behind for share in one.shares)
    assert cached.shares == ()  # no server was asked
    assert cached.servers < behind[0].servers
    assert len(list(fleet.table(measured))) == 2 + len(measured)


@pytest.mark.slow
def test_a_shard_is_drawn_by_the_command_and_counted(models: Path, tmp_path: Path) -> None:
    drawn = fleet.draw_shard(models, tmp_path, seeds=4000, shards=2)
    assert drawn.images == 2000
    assert sorted(path.name for path in tmp_path.glob("*.tar")) == ["faces-0000.tar", "faces-0001.tar"]
    assert drawn.seconds > 0
    assert drawn.cpu > 0


def test_the_table_has_medians_and_the_extremes_of_the_shares() -> None:
    runs = [Measured(Speed(rate, 1, 2, 3), 0.5, 0.1, (0.9, 1.1)) for rate in (100, 300, 200)]
    *_, line = fleet.table({"2": runs})
    assert line == "| 2 | 200 | 1.0 | 3.0 | 0.500 | 0.100 | 0.90 to 1.10 |"


def test_what_is_computed_follows_from_what_was_measured() -> None:
    said = fleet.sentence("digits@1", 10, Bulk(images=100_000, seconds=60.0, cpu=50.0))
    assert "1,667 images/s" in said
    assert "0.50 ms" in said
    assert "a million takes 10.0 minutes here, and 60 s on 10 such machines" in said


def test_a_process_gets_its_share_of_a_core_and_no_more() -> None:
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with cpu_share.limited([busy.pid], 0.1):
            started, before = time.monotonic(), process.cpu_seconds(Path(f"/proc/{busy.pid}"))
            busy_for = 0.0
            while time.monotonic() < started + 1:
                busy_for = process.cpu_seconds(Path(f"/proc/{busy.pid}")) - before
            assert busy_for < 0.3
    except OSError as error:
        pytest.skip(f"no control groups here: {os.strerror(error.errno or 0)}")
    finally:
        busy.kill()
        busy.wait()
