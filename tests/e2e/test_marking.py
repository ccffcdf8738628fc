"""The examples of docs/marking.md, and a server that signs."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import certificates
from tests.e2e.server import ROOT, SERVE, free_port, serving

pytest.importorskip("c2pa")


def examples(language: str) -> list[str]:
    text = (ROOT / "docs" / "marking.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def run(command: list[str], code: str, folder: Path) -> str:
    done = subprocess.run(command, input=code, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_server_signs_and_the_page_shows_how_to_look(models: Path, tmp_path: Path) -> None:
    look, authority = examples("sh")
    run(["bash", "-e"], authority, tmp_path)
    files = {"c2pa_key": tmp_path / "key.pem", "c2pa_certificate": tmp_path / "certificate.pem"}
    with serving(tmp_path / "log", models=models, **files) as server, server.client() as client:
        (tmp_path / "42.png").write_bytes(client.post("/generate", json={"seed": 42}).content)
        assert client.get("/images/grey@1/42.png").headers["etag"].startswith('W/"')
    said = run([sys.executable, "-"], examples("python")[0], tmp_path)
    assert said.startswith("Valid\n")
    assert "My pictures" in said
    if shutil.which("exiftool"):
        assert re.findall(r": (.*)", run(["bash", "-e"], look, tmp_path)) == [
            "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia",
            "42",
        ]


@pytest.mark.parametrize("command", [[], ["generate", "--seed", "1", "--out", "1.png"]])
def test_a_signer_that_cannot_sign_is_one_sentence_and_exit_2(models: Path, tmp_path: Path, command: list[str]) -> None:
    files = certificates.write(tmp_path, days=-1)
    variables = {f"NELUMBO_{name.upper()}": str(path) for name, path in files.items()}
    done = subprocess.run(
        [*SERVE, *command],
        cwd=ROOT,
        env=os.environ | variables | {"NELUMBO_MODELS": str(models), "NELUMBO_PORT": str(free_port())},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "cannot sign images: the certificate was not valid" in done.stderr
    assert not (ROOT / "1.png").exists()
