import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from circus.sighandler import SysHandler

from service.engine.renderer import NotReadyError, Renderer
from service.engine.requests import RenderRequest
from service.errors import ServiceError
from service.formats.registry import ARRAYS
from service.runtime.reload import VARIABLE, Reloader
from tests import tiny


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "reload"))
    tiny.write(tmp_path / "models", tiny.card("a"))
    return tmp_path / "models"


@pytest.fixture
def renderer(folder: Path) -> Iterator[Renderer]:
    made = Renderer(folder)
    made.load()
    yield made
    made.close()


def refs(renderer: Renderer) -> list[str]:
    return [model.ref for model in renderer.library]


def wait_for(renderer: Renderer, wanted: list[str]) -> None:
    end = time.monotonic() + 60
    while refs(renderer) != wanted:
        assert time.monotonic() < end, refs(renderer)
        time.sleep(0.02)


def test_what_is_new_is_served_and_what_is_gone_is_not(folder: Path, renderer: Renderer) -> None:
    tiny.write(folder, tiny.card("a", 2))
    shutil.rmtree(folder / "a" / "1")
    assert refs(renderer) == ["a@1"]
    assert [model.ref for model in Reloader(renderer).now()] == ["a@2"] == refs(renderer)


def test_what_was_asked_of_a_model_that_is_gone_is_drawn(folder: Path, renderer: Renderer) -> None:
    old = renderer.library.find("a@1")
    tiny.write(folder, tiny.card("b"))
    shutil.rmtree(folder / "a")
    renderer.reload()
    assert renderer.submit(RenderRequest(old, seeds=(1,)), ARRAYS, 10)[0].result(10).shape == (1, 16, 16, 1)


def test_where_nothing_can_be_served_what_was_served_is_served_on(folder: Path, renderer: Renderer) -> None:
    shutil.rmtree(folder / "a")
    with pytest.raises(ServiceError, match="no model in"):
        renderer.reload()
    assert refs(renderer) == ["a@1"]


def test_a_service_that_found_no_model_gets_ready(folder: Path, tmp_path: Path) -> None:
    renderer = Renderer(tmp_path / "later")
    renderer.start(pytest.fail).join(10)
    tiny.write(tmp_path / "later")
    renderer.reload()
    assert refs(renderer) == ["tiny@1"]
    renderer.close()


def test_a_service_that_stops_stays_stopped(folder: Path) -> None:
    renderer = Renderer(folder)
    renderer.load()
    renderer.close()
    with pytest.raises(NotReadyError, match="stopping"):
        renderer.reload()


def test_one_worker_tells_the_others(folder: Path, renderer: Renderer) -> None:
    other = Renderer(folder)
    other.load()
    Reloader(other).watch()
    tiny.write(folder, tiny.card("a", 2))
    Reloader(renderer).now()
    wait_for(other, ["a@2", "a@1"])
    other.close()


def test_a_worker_follows_again_after_what_cannot_be_served(folder: Path, renderer: Renderer) -> None:
    reloader = Reloader(renderer)
    reloader.watch()
    (folder / "a").rename(folder.parent / "away")
    reloader.ask()
    time.sleep(0.5)
    assert refs(renderer) == ["a@1"]
    tiny.write(folder, tiny.card("b"))
    reloader.ask()
    wait_for(renderer, ["b@1"])


def test_a_hangup_asks_in_a_worker_and_in_the_supervisor(
    folder: Path, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SysHandler, "handle_hup", SysHandler.handle_hup)
    before = signal.getsignal(signal.SIGHUP)
    try:
        reloader = Reloader(renderer)
        reloader.heed_hangups()
        reloader.watch()
        tiny.write(folder, tiny.card("a", 2))
        os.kill(os.getpid(), signal.SIGHUP)
        wait_for(renderer, ["a@2", "a@1"])
        tiny.write(folder, tiny.card("a", 3))
        SysHandler.handle_hup(object())
        wait_for(renderer, ["a@3", "a@2", "a@1"])
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_worker_reloads_where_it_cannot_tell_the_others(
    folder: Path, renderer: Renderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(folder / "no" / "such" / "folder"))
    tiny.write(folder, tiny.card("a", 2))
    assert [model.ref for model in Reloader(renderer).now()] == ["a@2", "a@1"]
