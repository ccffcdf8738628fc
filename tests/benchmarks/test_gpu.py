"""The command that a person with a GPU runs, with the CPU as its device; and the simulated device."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu import report, simulated
from benchmarks.gpu.__main__ import PARTS
from benchmarks.gpu.setup import ROOT, attempt
from service.engine.jobs import Job

WAIT = 60
CORES = 16  # of the machine that the simulated device stands in


def ask(n: int) -> Job:
    return Job("model", range(n), lambda _, image: image, list, time.monotonic() + WAIT)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_part_finds_a_figure_or_says_why_not(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--minutes", "0.1", "--train"]
    done = subprocess.run([*command, "--out", tmp_path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    parts = {part["name"]: part for part in json.loads((tmp_path / "gpu.json").read_text())["parts"]}
    assert list(parts) == list(PARTS)
    assert {name: part["end"] for name, part in parts.items()} == dict.fromkeys(PARTS, "done")
    assert all(part["rows"] for part in parts.values())
    figures = {name: [row for row in part["rows"] if "reason" not in row] for name, part in parts.items()}
    assert all(row["largest"] == 0 for row in figures["parity"] if row["precision"] == "float32")
    assert all(row["images_per_second"] > 0 for row in figures["raw"])
    assert any(row.get("of_raw", 0) > 0 for row in figures["http"])
    assert [row["start"] for row in figures["start"]] == ["cold", "cached"]
    assert {row["what"] for row in figures["train"]} >= {"textbook", "ours", "kill and resume"}
    assert "score" in figures["score"][0]
    page = (tmp_path / "gpu.md").read_text()
    assert all(f"\n## {part.title}\n" in page for part in PARTS.values())
    assert not (tmp_path / "work").exists()
    assert list((tmp_path / "runs").glob("*/*/generator-*.pt"))


@pytest.mark.slow
def test_without_a_gpu_the_command_still_ends_well(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--minutes", "0.05", "--only", "found", "--out", tmp_path]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (part,) = json.loads((tmp_path / "gpu.json").read_text())["parts"]
    rows = {row["what"]: row for row in part["rows"]}
    assert part["end"] == "done"
    assert "reason" in rows["provider cuda"] or rows["provider cuda"]["found"] == "starts"


def test_a_figure_that_cannot_be_had_is_a_reason() -> None:
    assert attempt({"batch": 1}, lambda: {"rate": 2}) == {"batch": 1, "rate": 2}
    assert attempt({"batch": 1}, lambda: {"rate": 1 / 0}) == {"batch": 1, "reason": "division by zero"}


def test_a_part_that_was_killed_keeps_the_lines_that_it_wrote(tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_text('{"batch": 1}\n{"batch": 2}\n{"bat')
    assert report.read_rows(tmp_path / "raw.jsonl") == [{"batch": 1}, {"batch": 2}]
    assert report.read_rows(tmp_path / "none.jsonl") == []


def test_images_that_wait_for_a_device_run_together() -> None:
    device = simulated.Device()
    made = simulated.batcher(device, streams=1, max_batch=16, cores=CORES)
    busy = ask(16)
    made.submit(busy)
    jobs = [ask(1) for _ in range(16)]
    for job in jobs:
        made.submit(job)
    for job in (busy, *jobs):
        job.future.result(WAIT)
    made.close()
    assert sum(device.batches) == 32
    assert len(device.batches) <= 4  # a thread a core, each taking its share, made it 17


def test_one_request_for_many_images_is_one_run() -> None:
    device = simulated.Device()
    made = simulated.batcher(device, streams=1, max_batch=16, cores=CORES)
    for _ in range(3):
        job = ask(16)
        made.submit(job)
        job.future.result(WAIT)
    made.close()
    assert device.batches == [16, 16, 16]


def test_a_busy_device_gets_full_batches() -> None:
    found = simulated.measure(connections=64, max_batch=16, seconds=1.0)
    assert found.batch > 12
    assert 0 < found.ratio <= 1.05
