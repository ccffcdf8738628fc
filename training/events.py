"""Write the figures of log.jsonl and the sample grids as TensorBoard event files (``tensorboard --logdir runs``).

Records are written in the training thread. torch's SummaryWriter writes them in a thread of its own, in which a full
disk is only noticed later.
"""

import io
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from training.files import append


class Events:
    """One event file, created at the first record; a resumed run creates a new one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"events.out.tfevents.{time.time():.0f}.{os.getpid()}"
        self._started = False

    def scalars(self, images_seen: int, values: Mapping[str, float]) -> None:
        """Record figures by name; raises DiskError if the disk is full."""
        self._write(images_seen, [{"tag": name, "simple_value": value} for name, value in values.items()])

    def picture(self, images_seen: int, name: str, data: bytes) -> None:
        """Record a PNG; raises DiskError if the disk is full."""
        width, height = Image.open(io.BytesIO(data)).size
        image = {"width": width, "height": height, "encoded_image_string": data}
        self._write(images_seen, [{"tag": name, "image": image}])

    def _write(self, images_seen: int, values: list[dict[str, Any]]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog  # slow to import, and not needed by --dry-run
        from tensorboard.compat.proto.summary_pb2 import Summary

        def event(**what: Any) -> bytes:
            return _record(Event(wall_time=time.time(), **what).SerializeToString())

        data = event(step=images_seen, summary=Summary(value=[Summary.Value(**value) for value in values]))
        if not self._started:  # START makes TensorBoard discard what a killed run wrote after its last checkpoint
            start = event(step=images_seen, session_log=SessionLog(status=SessionLog.START))
            data = event(file_version="brain.Event:2") + start + data
            self._started = True
        append(self._path, data)


def _record(data: bytes) -> bytes:
    """Return a record in TFRecord format: length, its checksum, the data, its checksum."""
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    RecordWriter(buffer).write(data)
    return buffer.getvalue()
