"""Importing a module of ours changes nothing outside of it."""

import subprocess
import sys

import pytest

from tests.e2e.server import ROOT
from tests.test_architecture import PACKAGES

# On a thread that is not the main one, where signal.signal() raises.
CODE = """
import importlib, os, pkgutil, signal, sys, threading, types
import bentoml, circus, circus.sighandler, uvicorn, uvicorn.config, uvicorn.server, uvicorn.supervisors
from starlette.testclient import TestClient

THEIRS = [module for name, module in sys.modules.items() if name.partition(".")[0] in ("bentoml", "circus", "uvicorn")]

def state():
    classes = [value for module in THEIRS for value in vars(module).values() if isinstance(value, type)]
    attributes = {(repr(owner), name): id(value) for owner in THEIRS + classes for name, value in vars(owner).items()
                  if not name.startswith("__") and not isinstance(value, types.ModuleType)}
    return attributes, {number: signal.getsignal(number) for number in signal.valid_signals()}, dict(os.environ)

def load(name):
    package = importlib.import_module(name)
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
            loaded.append(found.name)
    importlib.import_module(name + ".__main__")

before, loaded, errors = state(), [], []
threading.excepthook = lambda raised: errors.append(repr(raised.exc_value))
for name in sys.argv[1:]:
    thread = threading.Thread(target=load, args=[name])
    thread.start()
    thread.join()
    after = state()
    changed = {key for key, value in before[0].items() if after[0].get(key) != value}
    count = sum(module.startswith(name) for module in loaded)
    print(name, count > 0, errors, changed, after[1] == before[1], set(after[2].items()) ^ set(before[2].items()))
"""


@pytest.mark.slow
def test_importing_our_packages_changes_no_handler_no_variable_and_no_attribute_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    done = subprocess.run([sys.executable, "-c", CODE, *PACKAGES], cwd=ROOT, capture_output=True, text=True)
    wanted = [f"{name} True [] set() True set()" for name in PACKAGES]
    assert done.stdout.splitlines() == wanted, done.stdout + done.stderr
