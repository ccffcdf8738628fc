import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from service.contract import DIGEST_FILE, MODEL_FILE, ContractError, Refusal
from service.engine import checker, state, verdicts
from service.engine.checker import Checker
from tests import hostile, tiny
from tests.e2e.server import ROOT

STUB = "tests.stub_check"


@pytest.fixture(autouse=True)
def _nothing_is_known() -> None:
    verdicts.verdicts.cache_clear()


@pytest.fixture
def shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that the processes of a server share."""
    folder = tmp_path / "state"
    folder.mkdir()
    monkeypatch.setenv(state.VARIABLE, str(folder))
    return folder


def write(folder: Path, name: str) -> Path:
    """Write a model that differs from all others; returns its file."""
    return tiny.write(folder, tiny.card(name)) / MODEL_FILE


def outcomes(made: Checker, files: list[Path]) -> dict[str, str | None]:
    """Return the type of each file's refusal, by the name of its model, in the order in which it was found."""
    return {file.parent.parent.name: verdict.kind for file, verdict in made.check(files)}


def test_a_good_model_passes_with_its_card(tmp_path: Path) -> None:
    ((file, verdict),) = Checker(4).check([write(tmp_path, "good")])
    assert verdict.card(str(file)) == tiny.card("good")
    assert verdict.exact


def test_a_file_that_crashes_hangs_or_writes_garbage_is_refused_alone(tmp_path: Path) -> None:
    files = [write(tmp_path, name) for name in ("babble", "crash", "good", "hang", "sound")]
    found = outcomes(Checker(seconds=1, module=STUB), files)
    assert found == {"babble": "crashed", "crash": "crashed", "good": None, "hang": "timeout", "sound": None}


def test_a_slow_file_is_named_and_put_off_until_the_others_are_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(checker, "QUICK", 0.5)
    files = [write(tmp_path, name) for name in ("good", "hang", "sound")]
    found = outcomes(Checker(seconds=1, module=STUB), files)
    assert list(found) == ["good", "sound", "hang"]
    assert "hang/1/model.onnx" in caplog.text


def test_a_file_that_takes_long_without_a_loop_is_refused_by_time(tmp_path: Path) -> None:
    slow = tiny.write(tmp_path, tiny.card(), hostile.slow()) / MODEL_FILE
    found = outcomes(Checker(16, seconds=0.5), [slow])
    assert found["tiny"] == "timeout"


def test_a_batch_that_takes_more_memory_than_there_is_is_refused(tmp_path: Path) -> None:
    file = tiny.write(tmp_path, tiny.card("large", height=256, width=256, channels=3)) / MODEL_FILE
    assert outcomes(Checker(16, memory=2**24), [file])["large"] == "too-much-memory"
    assert outcomes(Checker(16, memory=2**28), [file])["large"] is None


def test_a_file_is_checked_once_in_a_process(tmp_path: Path) -> None:
    files = [write(tmp_path, name) for name in ("crash", "good")]
    made = Checker(module=STUB)
    first, second = (dict(made.check(files)) for _ in range(2))
    assert first == second


def check_anew(files: list[Path]) -> dict[Path, verdicts.Verdict]:
    """Check files as a process that has not checked any."""
    verdicts.verdicts.cache_clear()
    return dict(Checker(module=STUB).check(files))


def test_what_one_process_found_the_others_know(tmp_path: Path, shared: Path) -> None:
    files = [write(tmp_path, name) for name in ("crash", "good")]
    assert check_anew(files) == check_anew(files)


def test_what_one_checker_found_the_others_of_its_process_know(tmp_path: Path) -> None:
    files = [write(tmp_path, name) for name in ("crash", "good")]
    assert dict(Checker(module=STUB).check(files)) == dict(Checker(module=STUB).check(files))
    assert dict(Checker(module=STUB).check(files)) != check_anew(files)  # the stub's card is its process


def test_while_one_process_checks_another_takes_what_it_finds(tmp_path: Path, shared: Path) -> None:
    files = [write(tmp_path, name) for name in ("good", "hang")]
    one = Checker(seconds=60, module=STUB)
    verdicts.verdicts.cache_clear()  # as in another process
    other = Checker(seconds=60, module=STUB)
    known = next(one.check(files[:1]))
    running = threading.Thread(target=lambda: list(one.check(files[1:])))
    running.start()
    try:
        assert next(other.check(files)) == known
    finally:
        one.close()
        running.join()


def test_a_file_that_took_too_long_is_tried_again_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Checker(seconds=0.5, module=STUB)
    file = write(tmp_path, "hang")
    ((_, refused),) = made.check([file])
    assert refused.until is not None
    assert refused.until > time.time() + verdicts.RETRY - 60
    assert verdicts.Verdicts().find(refused.digest) is None


def test_a_damaged_file_is_not_held_against_the_whole_one(tmp_path: Path) -> None:
    file = write(tmp_path, "good")
    whole, made = file.read_bytes(), Checker()
    file.write_bytes(whole[:-1])
    assert outcomes(made, [file])["good"] == "wrong-digest"
    file.write_bytes(whole)
    assert outcomes(made, [file])["good"] is None


def test_the_same_bytes_in_another_folder_are_refused_by_that_name(tmp_path: Path) -> None:
    made = Checker()
    for name in ("one", "two"):
        folder = hostile.write(tmp_path / name, "mod-by-zero")
        ((_, verdict),) = made.check([folder / MODEL_FILE])
        with pytest.raises(ContractError, match=str(folder)) as refused:
            verdict.card(name)
        assert refused.value.kind is Refusal.OPERATOR_NOT_ALLOWED


def test_closing_stops_the_check_that_is_running(tmp_path: Path) -> None:
    made = Checker(seconds=60, module=STUB)
    file = write(tmp_path, "hang")
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.extend(made.check([file])))
    thread.start()
    made.close()
    thread.join(30)
    assert not thread.is_alive()
    ((_, verdict),) = made.check([file])
    assert verdict.kind == "not-checked"


def test_a_child_that_cannot_start_refuses_with_a_way_to_find_out(tmp_path: Path) -> None:
    ((_, verdict),) = Checker(module="no.such.module").check([write(tmp_path, "good")])
    assert verdict.kind == "not-checked"
    assert "python -m no.such.module" in (verdict.refused or "")


def test_a_model_without_its_digest_is_refused_unchecked(tmp_path: Path) -> None:
    file = write(tmp_path, "good")
    (file.parent / DIGEST_FILE).unlink()
    assert outcomes(Checker(module="no.such.module"), [file])["good"] == "no-digest"


def test_the_child_process_gets_no_secret() -> None:
    given = {"NELUMBO_ADMIN_TOKEN": "s", "NELUMBO_LIMITS_URI": "s", "PROMETHEUS_MULTIPROC_DIR": "s", "PATH": "/bin"}
    assert set(checker._environment(given)) == {"PATH", "PYTHONPATH"}


def test_the_child_imports_no_web_framework_and_no_torch() -> None:
    code = "import sys, service.engine.check_models; print({'bentoml', 'starlette', 'torch'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"


def test_a_worker_that_opens_models_imports_no_onnx() -> None:
    code = "import sys, service.engine.library; print('onnx' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"


def test_the_directory_goes_with_the_process_that_made_it() -> None:
    code = "from service.engine import state; made = state.make(); assert state.make() == made; print(made)"
    clean = {name: value for name, value in os.environ.items() if name != state.VARIABLE}
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean, capture_output=True, text=True, check=True)
    assert not Path(told.stdout.strip()).exists()
