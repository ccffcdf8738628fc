import json
import math
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests import DIGITS
from tests.training.conftest import make_trainer, tiny_recipe
from training import loop
from training.data_order import DataOrder
from training.logbook import Averages
from training.run import Run

KINDS = ("generator", "fakes")
TRAIN = [sys.executable, "-m", "training", "train"]
# Trains, and runs an action in the training process itself at the n-th fsync after a file of the run exists: another
# process that waits for the file might act too late.
ACT_AT_FSYNC = """
import os, resource, signal, sys
from pathlib import Path
from training.__main__ import main
file, left, action = Path(sys.argv.pop(1)), int(sys.argv.pop(1)), sys.argv.pop(1)
def fsync(descriptor, flush=os.fsync):
    global left
    flush(descriptor)
    if file.exists():
        left -= 1
        if left == 0:
            exec(action)
os.fsync = fsync
main()
"""
# Trains, and is killed after a number of seconds of training.
KILL_AFTER = """
import os, signal, sys, threading
from training.__main__ import main
from training.loop import Trainer
seconds = float(sys.argv.pop(1))
def train(trainer, train=Trainer.train):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL))
    timer.daemon = True
    timer.start()
    return train(trainer)
Trainer.train = train
main()
"""
SIGNALLED = "os.kill(os.getpid(), signal.{})"
FULL_DISK = "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))"  # limit per file
# 250 steps of a small network, with 40 lines in the log and 16 snapshots of 8 calls of fsync each.
SMALL = ["generator.width=8", "critic.width=8", "batch=16", "kimg=4", "tick_kimg=0.1", "snapshot_kimg=0.25"]
SMALL += ["picture_batches=250"]  # none between snapshots
RUN = "00000-digits-gan"


def rows(run: Path) -> list[dict[str, Any]]:
    """Return the log without images_per_second, which varies between runs."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def checkpoint(run: Path) -> Any:
    return torch.load(run / "checkpoint-latest.pt", weights_only=True)


def settings_of(out: Path) -> list[str]:
    settings = [argument for setting in SMALL for argument in ("--set", setting)]
    return ["--data", str(DIGITS), "--recipe", "digits", "--size", "16", "--out", str(out), *settings]


def run_until_fsync(out: Path, file: str, flush: int, action: str) -> subprocess.CompletedProcess[str]:
    """Train until the n-th fsync after ``file`` exists in the run folder, and run the code ``action`` there."""
    command = [sys.executable, "-c", ACT_AT_FSYNC, str(out / RUN / file), str(flush), action, "train"]
    return run([*command, *settings_of(out)])


def resume(folder: Path) -> subprocess.CompletedProcess[str]:
    return run([*TRAIN, "--resume", str(folder)])


def run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    result = run([*TRAIN, *settings_of(out)])
    assert result.returncode == 0, result.stderr
    return out / RUN


def test_a_run_writes_logs_grids_checkpoints_and_a_report(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe())
    assert trainer.train()
    run = trainer.run.path
    checkpoints = ["checkpoint-latest.pt", "checkpoint-previous.pt", "generator-000000160.pt", "generator-000000320.pt"]
    pictures = ["reals.png", "fakes-000000000.png", "fakes-000000160.png", "fakes-000000320.png", "timelapse.webp"]
    records = ["config.json", "data.json", "log.jsonl"]
    (events,) = run.glob("events.out.tfevents.*")
    assert sorted(path.name for path in run.iterdir()) == sorted([*checkpoints, *pictures, *records, events.name])
    assert [row["images"] for row in rows(run)] == [*range(32, 321, 32)]  # ten, as the recipe's ticks would be four
    grid = Image.open(run / "fakes-000000320.png")
    assert grid.size == (8 * 16, 8 * 16)
    assert np.asarray(grid).std() > 0


@pytest.mark.slow
def test_the_cats_recipe_draws_every_ten_batches_and_saves_every_five_epochs(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe("cats", images__channels="1", kimg="2.1"))
    trainer.images = trainer.images[:40]  # five epochs are 200 images, and a batch is 16
    trainer.order = DataOrder(40, seed=0)
    assert trainer.train()
    seen = {kind: [int(path.stem[-9:]) for path in sorted(trainer.run.path.glob(f"{kind}-*"))] for kind in KINDS}
    fives = [16 * math.ceil(images / 16) for images in range(200, 2100, 200)]  # the steps that end five epochs
    assert seen["generator"] == [*fives, 2112]  # and the run's end
    assert seen["fakes"] == sorted({*range(0, 2112, 160), *seen["generator"]})


def test_a_budget_in_minutes_is_converted_to_images_once(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe(), minutes=0.02)
    assert trainer.train()
    total = checkpoint(trainer.run.path)["total"]
    assert total == trainer.total
    assert total <= trainer.seen < total + 16


def test_a_checkpoint_is_written_every_five_minutes_without_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert loop.CHECKPOINT_SECONDS == 300
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)  # every step is later than that
    trainer = make_trainer(tmp_path, tiny_recipe(snapshot_kimg="100"))
    saved: list[int] = []
    save = trainer.run.save_checkpoint
    monkeypatch.setattr(Run, "save_checkpoint", lambda _, state: saved.append(state["seen"]) or save(state))
    assert trainer.train()
    assert saved == [*range(16, 336, 16), 320]
    assert [path.name for path in trainer.run.path.glob("generator-*")] == ["generator-000000320.pt"]


def test_figures_stay_on_their_device_until_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    averages = Averages()
    with monkeypatch.context() as patched:
        for move in ("cpu", "item", "tolist", "__float__"):
            patched.setattr(torch.Tensor, move, lambda *_: pytest.fail("moved to the CPU"))
        for value in (1.0, 2.0, 6.0):
            averages.add({"loss": torch.tensor(value)} | ({"penalty": torch.tensor(5.0)} if value == 1 else {}))
    assert averages.take() == {"loss": 3.0, "penalty": 5.0}
    assert averages.take() == {}


def test_the_number_of_images_is_saved_as_soon_as_it_is_known(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe(), minutes=1)
    trainer._fix_total(elapsed=1.0, speed=50.0)
    assert trainer.total is None  # too early to tell
    trainer._fix_total(elapsed=6.0, speed=50.0)
    assert trainer.total == checkpoint(trainer.run.path)["total"] == 3000


@pytest.mark.slow
def test_ctrl_c_saves_a_checkpoint_and_prints_the_resume_command(tmp_path: Path, uninterrupted: Path) -> None:
    result = run_until_fsync(tmp_path, "log.jsonl", 1, SIGNALLED.format("SIGINT"))
    assert result.returncode == 130, result.stderr
    stopped = tmp_path / RUN
    assert f"Stopped and saved. Resume with: nelumbo train --resume {stopped}" in result.stdout
    assert 0 < checkpoint(stopped)["seen"] < 4000
    assert resume(stopped).returncode == 0
    assert rows(stopped) == rows(uninterrupted)
    assert equal(checkpoint(stopped), checkpoint(uninterrupted))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "flush"),
    [
        ("config.json", 1),  # before there is anything else
        ("log.jsonl", 1),  # while the first snapshot's picture has no name yet
        ("checkpoint-latest.pt", 8),  # while the second one has none, and the log more lines than the first
    ],
)
def test_a_killed_run_resumes_bit_for_bit(tmp_path: Path, uninterrupted: Path, file: str, flush: int) -> None:
    assert run_until_fsync(tmp_path, file, flush, SIGNALLED.format("SIGKILL")).returncode == -signal.SIGKILL
    killed = tmp_path / RUN
    assert not (killed / "report.html").exists()
    result = resume(killed)
    assert result.returncode == 0, result.stderr
    assert rows(killed) == rows(uninterrupted)
    assert equal(checkpoint(killed), checkpoint(uninterrupted))


@pytest.mark.slow
def test_a_run_killed_at_random_moments_resumes_bit_for_bit(tmp_path: Path, uninterrupted: Path) -> None:
    folder = tmp_path / RUN
    first, second = (random.uniform(0, 2) for _ in range(2))
    for seconds, rest in ((first, settings_of(tmp_path)), (second, ["--resume", str(folder)])):
        killed = run([sys.executable, "-c", KILL_AFTER, str(seconds), "train", *rest])
        assert killed.returncode in (-signal.SIGKILL, 0), killed.stderr  # 0: it had ended before
    assert resume(folder).returncode == 0, (first, second)
    assert rows(folder) == rows(uninterrupted), (first, second)
    assert equal(checkpoint(folder), checkpoint(uninterrupted)), (first, second)


@pytest.mark.slow
def test_a_full_disk_ends_the_run_with_one_sentence_and_the_run_can_be_resumed(
    tmp_path: Path, uninterrupted: Path
) -> None:
    result = run_until_fsync(tmp_path, "checkpoint-latest.pt", 1, FULL_DISK)
    full = tmp_path / RUN
    assert result.returncode == 1
    assert "could not be written (File too large)" in result.stderr
    assert result.stderr.endswith(f"resume with: nelumbo train --resume {full}\n")
    result = resume(full)
    assert result.returncode == 0, result.stderr
    assert rows(full) == rows(uninterrupted)
    assert equal(checkpoint(full), checkpoint(uninterrupted))
