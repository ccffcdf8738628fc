"""Crashes of real processes, charged to what they ran."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from service.contract import Refusal
from service.engine import crashes, state
from service.engine.library import load_library
from service.errors import ServiceError
from tests import tiny
from tests.e2e.server import ROOT

BAD, GOOD = "b" * 64, "a" * 64
WORKER = """
import os, signal, sys, threading
from service.engine import crashes

crashes.start()
running = threading.Barrier(3)

def run(digest, ref, crash):
    with crashes.running(digest, ref):
        running.wait()
        running.wait()
        if crash:
            signal.pthread_kill(threading.get_ident(), int(sys.argv[1]))
        threading.Event().wait()

for digest, ref, crash in (("BAD", "bad@1", True), ("GOOD", "good@1", False)):
    threading.Thread(target=run, args=(digest, ref, crash), daemon=True).start()
running.wait()
running.wait()
threading.Event().wait()
""".replace("BAD", BAD).replace("GOOD", GOOD)


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv(state.VARIABLE, str(folder))
    return folder


def crash(number: int = signal.SIGSEGV, code: str = WORKER) -> None:
    """Run a worker with two threads, of which the one that runs bad@1 ends it with a signal."""
    run = subprocess.run([sys.executable, "-c", code, str(int(number))], cwd=ROOT, capture_output=True, timeout=120)
    assert run.returncode == -number, run.stderr


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGFPE, signal.SIGABRT, signal.SIGBUS, signal.SIGILL])
def test_the_second_crash_withdraws_what_the_crashed_thread_ran(shared: Path, number: int) -> None:
    crash(number)
    assert crashes.charge() == []
    assert crashes.withdrawn(BAD) is None
    crash(number)
    (sentence,) = crashes.charge()
    assert sentence == crashes.withdrawn(BAD)
    assert "bad@1" in sentence
    assert crashes.withdrawn(GOOD) is None
    assert crashes.charge() == []


def test_a_worker_that_was_killed_charges_no_model(shared: Path) -> None:
    for _ in range(3):
        crash(signal.SIGKILL)
        assert crashes.charge() == []
    assert not list(shared.iterdir())


def test_crashes_long_ago_do_not_count(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    crash()
    crashes.charge()
    monkeypatch.setattr(crashes, "WINDOW", 0.0)
    crash()
    assert crashes.charge() == []


def test_a_crash_while_nothing_ran_charges_no_model(shared: Path) -> None:
    code = "import os, signal, sys; from service.engine import crashes; crashes.start(); os.kill(os.getpid(), 11)"
    for _ in range(2):
        crash(code=code)
        assert crashes.charge() == []


def test_a_living_worker_is_not_charged(shared: Path) -> None:
    code = "import sys; from service.engine import crashes; crashes.start(); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        assert crashes.charge() == []
        assert (shared / f"worker-{worker.pid}").exists()
        worker.communicate()


def test_a_withdrawn_model_is_not_served_until_its_file_changes(
    shared: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tiny.write(tmp_path / "models", tiny.card("bad"))
    tiny.write(tmp_path / "models", tiny.card("good"))
    before = load_library(tmp_path / "models", "cpu")
    code = WORKER.replace(BAD, before.find("bad").digest)
    crash(code=code)
    crash(code=code)
    after = load_library(tmp_path / "models", "cpu", served=before)
    assert [model.ref for model in after] == ["good@1"]
    assert len(after.withdrawn) == 1
    (error,) = after.refused
    assert error.kind is Refusal.WITHDRAWN
    assert after.withdrawn[0] in str(error)
    assert "bad@1" in caplog.text
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    folder.parent.rmdir()
    tiny.write(tmp_path / "models", tiny.card("bad"), tiny.model(tiny.card("bad"), seed=1))
    assert [model.ref for model in load_library(tmp_path / "models", "cpu", served=after)] == ["bad@1", "good@1"]


def test_where_all_are_withdrawn_the_error_says_so(shared: Path, tmp_path: Path) -> None:
    tiny.write(tmp_path / "models", tiny.card("bad"))
    code = WORKER.replace(BAD, load_library(tmp_path / "models", "cpu").find("bad").digest)
    crash(code=code)
    crash(code=code)
    with pytest.raises(ServiceError, match="withdrawn"):
        load_library(tmp_path / "models", "cpu")


def test_noting_costs_a_microsecond_and_not_a_millisecond(shared: Path) -> None:
    code = (
        "import timeit; from service.engine import crashes; crashes.start()\n"
        "def run():\n    with crashes.running('a' * 64, 'good@1'): pass\n"
        "print(min(timeit.repeat(run, number=1000, repeat=5)) / 1000)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(told.stdout) < 1e-4
