"""A clock that jumps while a server serves: deadlines and patience go by one that does not.

The clock that is set is Python's, in all processes of the server. libfaketime shifts that of C, too, but makes
``time.sleep`` fail when it does (Python 3.11, libfaketime 0.9.10).
"""

import sys
from datetime import datetime, timedelta
from pathlib import Path

import httpx

from tests import tiny
from tests.e2e.server import serving, wait_for_workers, wait_until
from tests.e2e.test_processes import load
from tests.e2e.test_reload import reload_by_signal

DAY = 86_400
JUMPS = (DAY, -DAY)  # seconds off the true time, one after the other
CLOCK = """
import time
true, true_ns = time.time, time.time_ns
def shift():
    return int(open({file!r}).read() or 0)
time.time = lambda: true() + shift()
time.time_ns = lambda: true_ns() + shift() * 10**9
"""


def test_a_clock_that_jumps_a_day_costs_no_request_and_hides_no_reload(tmp_path: Path) -> None:
    clock, folder = tmp_path / "clock", tmp_path / "models"
    clock.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(CLOCK.format(file=str(clock)))
    tiny.write(folder, tiny.card("grey"))
    began = datetime.now()
    command = ("env", f"PYTHONPATH={tmp_path}", sys.executable, "-m", "service")
    with serving(tmp_path / "log", models=folder, command=command, workers=2) as server:
        with load(server, clients=4) as asking:
            for version, jump in enumerate(JUMPS, 2):
                clock.write_text(f"{jump}")
                before = asking.got[200]
                wait_until(lambda before=before: asking.got[200] > before + 100, server)
                tiny.write(folder, tiny.card("grey", version))
                reload_by_signal(server)
                wait_for_workers(server, 2, f"/models/grey@{version}")
        assert set(asking.got) == {200}, asking.got
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        assert "Traceback" not in server.said()
        # The clock did jump: the log's lines, in local time, say so. Here, midnight may have passed meanwhile.
        yesterdays = [day - timedelta(seconds=DAY) for day in (began, datetime.now())]
        assert any(f"{day:%Y-%m-%d} " in server.said() for day in yesterdays)
