import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.server import ROOT, SERVE, Server, serving


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SERVE, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_a_picture_without_a_server_is_the_servers(server: Server, models: Path, tmp_path: Path) -> None:
    out = tmp_path / "7.png"
    done = run("generate", "--seed", "7", "--model", "rgb", "--out", str(out), "--models", str(models))
    assert done.returncode == 0, done.stderr
    with server.client() as client:
        assert out.read_bytes() == client.post("/generate", json={"seed": 7, "model": "rgb@1"}).content


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
        (["--models", "{broken}"], "type there: sha256sum *.onnx > sha256"),
        (["--models", "{models}", "--provider", "abacus"], "the providers are cpu"),
        (["--models", "{models}", "--port", "70000"], "NELUMBO_PORT"),
        (["generate", "--seed", "1", "--out", "{empty}/1.png", "--models", "{models}", "--model", "cats"], "grey@1"),
        (["generate", "--seed", "1", "--out", "{empty}/no/1.png", "--models", "{models}"], "cannot be written"),
        (["generate", "--seed", "1", "--out", "{empty}/1.png", "--models", "{empty}"], "no model in"),
        (["generate", "--seed", "1", "--out", "{empty}/1.png", "--models", "{broken}"], "type there: sha256sum"),
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
