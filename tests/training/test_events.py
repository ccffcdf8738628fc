from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.conftest import full_disk
from training.errors import DiskError
from training.events import Events
from training.pictures import png


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    events = Events(tmp_path)
    events.scalars(1000, {"critic_loss": 0.5})
    events.scalars(2000, {"critic_loss": 0.25})
    events.picture(2000, "fakes", png(Image.fromarray(np.zeros((20, 30), np.uint8))))
    reader = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in reader.Scalars("critic_loss")] == [(1000, 0.5), (2000, 0.25)]
    (picture,) = reader.Images("fakes")
    assert (picture.step, picture.width, picture.height) == (2000, 30, 20)


def test_a_resumed_run_hides_records_after_the_checkpoint_of_the_killed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Events(tmp_path), None
    for seen in (1000, 2000, 3000):
        first.scalars(seen, {"critic_loss": 0.5})
    monkeypatch.setattr("os.getpid", lambda: 99_999_999)
    second = Events(tmp_path)
    second.scalars(2000, {"critic_loss": 0.25})
    reader = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in reader.Scalars("critic_loss")] == [(1000, 0.5), (2000, 0.25)]


def test_a_full_disk_raises_an_error_at_once(tmp_path: Path) -> None:
    with full_disk(), pytest.raises(DiskError, match="could not be written"):
        Events(tmp_path).scalars(1000, {f"figure_{i}": 0.5 for i in range(100)})
