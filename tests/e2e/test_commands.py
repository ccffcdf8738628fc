import functools
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.server import PATIENCE, ROOT, SERVE, Server, serving
from tests.waiting import wait_for


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SERVE, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)


def test_a_picture_without_a_server_is_the_servers(server: Server, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "7.png"
    done = run("generate", "--seed", "7", "--model", "rgb", "--out", str(out), "--models", str(models))
    assert done.returncode == 0, done.stderr
    with server.client() as client:
        assert out.read_bytes() == client.post("/generate", json={"seed": 7, "model": "rgb@1"}).content


DYING = """
import itertools, os, signal, sys
from service import __main__
from service.formats import archives

def killed(samples):
    yield from itertools.islice(samples, int(count))
    os.kill(os.getpid(), signal.SIGKILL)

begun, count, write = sys.argv.pop(1), sys.argv.pop(1), archives.write
archives.write = lambda path, samples: write(path, killed(samples) if path.name == begun else samples)
__main__.main()
"""  # dies in the middle of a file: which, and after how many of its pictures


@pytest.mark.parametrize(
    ("out", "begun", "count"), [("folder", "seed0100.png", "1"), ("faces-{000}.tar", "faces-001.tar", "150")]
)
def test_generate_continues_after_it_was_killed(models: Path, tmp_path: Path, out: str, begun: str, count: str) -> None:
    seeds, killed, whole = "0-2999", tmp_path / "killed", tmp_path / "whole"

    def command(folder: Path) -> list[str]:
        folder.mkdir(exist_ok=True)
        options = ["--shard-size", "200"] if "{" in out else []
        return ["generate", "--seeds", seeds, "--out", str(folder / out), *options, "--models", str(models)]

    died = subprocess.run([sys.executable, "-c", DYING, begun, count, *command(killed)], cwd=ROOT, timeout=PATIENCE)
    assert died.returncode == -signal.SIGKILL
    assert len(contents(killed)) == (101 if out == "folder" else 2)
    for folder in (killed, whole):
        done = run(*command(folder))
        assert done.returncode == 0, done.stderr
    assert contents(killed) == contents(whole)


def test_a_shard_continues_after_it_was_killed_and_merges_with_the_others(models: Path, tmp_path: Path) -> None:
    def command(folder: Path, *shard: str) -> list[str]:
        folder.mkdir(exist_ok=True)
        options = ["--shard-size", "200", *shard, "--models", str(models)]
        return ["generate", "--seeds", "0-2999", "--out", str(folder / "faces-{000}.tar"), *options]

    merged, whole = tmp_path / "merged", tmp_path / "whole"
    second = command(merged, "--shard", "2/3")  # has files 005 to 009
    died = subprocess.run([sys.executable, "-c", DYING, "faces-006.tar", "150", *second], cwd=ROOT, timeout=PATIENCE)
    assert died.returncode == -signal.SIGKILL
    assert sorted(contents(merged)) == [".faces-006.tar.partial", "faces-005.tar"]
    for left in (second, command(merged, "--shard", "1/3"), command(merged, "--shard", "3/3"), command(whole)):
        done = run(*left)
        assert done.returncode == 0, done.stderr
    assert contents(merged) == contents(whole)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ctrl_c_says_how_to_continue_generate(models: Path, tmp_path: Path) -> None:
    command = [*SERVE, "generate", "--seeds", "0-9999999", "--out", str(tmp_path), "--models", str(models)]
    # A background process of a shell ignores SIGINT, and so do its children, which these tests may be.
    hear = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, preexec_fn=hear) as process:
        try:
            wait_for(lambda: any(tmp_path.iterdir()))
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 130
    assert said.startswith("Stopped; the same command continues.")
    assert said.count("\n") == 1
    assert not list(tmp_path.glob(".*"))


def test_a_port_in_use_is_one_sentence_and_exit_2(models: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("--port", str(taken.getsockname()[1]), "--models", str(models))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "already in use" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--models", "{empty}"], "no model in"),
        (["--models", "{broken}"], "is cut off, too: copy or export it again"),
        (["--models", "{models}", "--default-model", "cats"], "the default model cats cannot be served"),
        (["--models", "{models}", "--provider", "abacus"], "the providers are cpu"),
        (["--models", "{models}", "--port", "70000"], "NELUMBO_PORT"),
        (["generate", "--seed", "1", "--out", "{empty}/1.png", "--models", "{models}", "--model", "cats"], "grey@1"),
        (["generate", "--seed", "1", "--out", "{empty}/no/1.png", "--models", "{models}"], "cannot be written"),
        (["generate", "--seed", "1", "--out", "{empty}/1.png", "--models", "{empty}"], "no model in"),
        (["generate", "--seed", "1", "--out", "{empty}/1.png", "--models", "{broken}"], "is cut off, too"),
        (["generate", "--out", "{empty}/1.png", "--models", "{models}"], "give one of --seed 42"),
        (
            ["generate", "--seed", "1", "--seeds", "1-2", "--out", "{empty}/a", "--models", "{models}"],
            "give one of --seed 42",
        ),
        (["generate", "--seeds", "9-1", "--out", "{empty}/a", "--models", "{models}"], "such as 0-999"),
        (
            ["generate", "--seeds", "1-9", "--out", "{empty}/a.tar.gz", "--models", "{models}"],
            "name a .zip, a .tar, or",
        ),
        (["generate", "--seed", "1", "--out", "{empty}/a.tiff", "--models", "{models}"], "name a file that ends in"),
        (["generate", "--seeds", "1-9", "--out", "/proc/a", "--models", "{models}"], "cannot be written"),
        (["generate", "--seeds", "1-9", "--out", "{empty}/a", "--models", "{models}", "--model", "cats"], "grey@1"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_2(models: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "broken/one/1").mkdir(parents=True)
    (tmp_path / "broken/one/1/model.onnx").touch()
    (tmp_path / "empty").mkdir()
    folders = {"models": models, "empty": tmp_path / "empty", "broken": tmp_path / "broken"}
    done = run(*(argument.format(**folders) for argument in arguments))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert said in done.stderr


def test_ctrl_c_ends_the_server_cleanly(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models) as server:
        assert server.stop(signal.SIGINT) == 0
        assert "Traceback" not in server.said()


def test_serving_needs_nothing_of_training_and_export() -> None:
    code = (
        "import sys, service.service, service.__main__;"
        "bad = {'torch', 'training', 'export', 'onnxscript'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
