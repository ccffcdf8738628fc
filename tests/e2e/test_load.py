"""The load tests themselves, briefly, on a real server; `make load`, `make chaos` and `make soak` run them in full."""

import csv
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from load_tests import chaos, soak
from load_tests.__main__ import locust
from load_tests.faults import Chaos
from tests import tiny
from tests.e2e.server import ROOT, Server, counted, serving, wait_until

pytestmark = pytest.mark.slow

SWARM = """
import argparse, sys
import gevent
from locust.env import Environment
from load_tests.locustfile import USERS, judge

environment = Environment(user_classes=list(USERS), host=sys.argv[1])
environment.parsed_options = argparse.Namespace(shape="smoke")
environment.create_local_runner().start(15, 50)
gevent.sleep(10)
environment.runner.quit()
judge(environment)
print(*(error.error for error in environment.stats.errors.values()), sep="\\n")
sys.exit(environment.process_exit_code)
"""


def test_two_workers_answer_all_kinds_of_users_correctly(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, workers=2) as server:
        ran = subprocess.run(locust(server.url, "smoke", tmp_path), cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with (tmp_path / "report_stats.csv").open() as file:
        requests = {row["Name"]: int(row["Request Count"]) for row in csv.DictReader(file)}
    assert {"one seed", "latent", "sixteen", "cached", "page"} <= set(requests)
    assert requests["Aggregated"] > 200
    assert "one seed" in (tmp_path / "report.html").read_text()


def drawn(server: Server) -> float:
    return counted(httpx.get(f"{server.url}/metrics", timeout=60).text, "nelumbo_images_total")


def test_a_model_that_draws_other_pictures_under_its_name_fails_the_run(tmp_path: Path) -> None:
    tiny.write(tmp_path / "models", tiny.card("grey"))
    with serving(tmp_path / "log", models=tmp_path / "models", workers=2) as server:
        command = [sys.executable, "-c", SWARM, server.url]
        swarm = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: drawn(server) >= 100 or swarm.poll() is not None, server)  # until every user knows some
        shutil.rmtree(tmp_path / "models")
        tiny.write(tmp_path / "models", tiny.card("grey"), tiny.model(tiny.card("grey"), seed=1))
        server.process.send_signal(signal.SIGHUP)
        said, complained = swarm.communicate(timeout=60)
    assert swarm.returncode == 1, said + complained
    assert "requests failed; 0.0% may" in complained
    assert "has other bytes than before" in said
    assert "has other pixels than before" in said


def test_random_faults_give_no_wrong_image(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copied = Path(shutil.copytree(models, tmp_path / "models"))
    with serving(tmp_path / "log", models=copied, workers=2) as server:
        assert chaos.run(Chaos(server, 1, copied), seconds=12, seed=1, workers=2) == []
        assert "Traceback" not in server.said()
    assert "wrong pictures           0" in capsys.readouterr().out


def test_a_server_that_is_soaked_is_measured_and_its_load_held(models: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "log", models=models, workers=2) as server:
        report = soak.soak(server, seconds=6)
    assert (report["wrong"], report["failures"], set(report["statuses"])) == (0, 0, {200})
    assert report["rate"] < report["capacity"]
    assert report["growth"].keys() == soak.FLAT.keys()
    assert all(found["first"] > 0 for found in report["growth"].values())
    assert soak.told(report).startswith("0.1 minutes at ")
