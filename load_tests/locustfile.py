"""What Locust runs: the users, the shape that --shape names, and the thresholds that decide the exit code.

python -m load_tests starts a server for it; on an existing server, run:

locust -f load_tests/locustfile.py --headless --host http://127.0.0.1:3000 --shape ramp --html report.html --csv report
"""

import sys
from argparse import ArgumentParser
from collections import Counter, defaultdict
from typing import Any

from locust import LoadTestShape, events
from locust.env import Environment
from locust.runners import WorkerRunner

from load_tests.shapes import SHAPES
from load_tests.thresholds import broken
from load_tests.users import Cached, Latent, OneSeed, Sixteen, Visitor

USERS = (OneSeed, Latent, Sixteen, Cached, Visitor)
SPAWN_RATE = 50.0  # users a second


class Stages(LoadTestShape):
    """Follows the stages of the shape that was asked for."""

    def tick(self) -> tuple[int, float] | None:
        """Return how many users there are to be now."""
        users = SHAPES[self.runner.environment.parsed_options.shape].users(self.get_run_time())
        return None if users is None else (users, SPAWN_RATE)


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """Let Locust know --shape."""
    parser.add_argument("--shape", choices=SHAPES, default="smoke", help="how many users there are over time")


@events.quitting.add_listener
def judge(environment: Environment, **_: Any) -> None:
    """Set exit code 1, and print why, if a threshold was exceeded."""
    if isinstance(environment.runner, WorkerRunner):  # the master sees the whole
        return
    shape = environment.parsed_options.shape
    times: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for (kind, _), entry in environment.stats.entries.items():  # GET and POST are two entries
        times[kind].update(entry.response_times)
    failed = environment.stats.total.num_failures
    complaints = broken(times, failed, [user.kind for user in USERS], SHAPES[shape].thresholds)
    for complaint in complaints:
        print(f"FAILED: {complaint}", file=sys.stderr)
    environment.process_exit_code = int(bool(complaints))
