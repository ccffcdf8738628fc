"""What holds for any load, with as many device slots as threads (a CPU) and with one (an accelerator)."""

import random
import threading
import time
from collections import Counter
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

import pytest

from service.engine.batcher import Batcher
from service.engine.jobs import DeadlinePassedError, Job, QueueFullError
from tests.waiting import wait_for

WAIT = 60
MAX_BATCH, BOUND = 4, 40
CONFIGURATIONS = {
    "cpu": {"slots": 2, "threads": 2, "ahead": 0},
    "accelerator": {"slots": 1, "threads": 4, "ahead": 1},
    "two streams": {"slots": 2, "threads": 5, "ahead": 1},
}
SEEDS = range(25)


@dataclass
class Device:
    """Runs batches; keeps them, how many ran at once, and which items it saw."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    batches: list[list[tuple[str, int, int]]] = field(default_factory=list)
    running: int = 0
    most: int = 0
    gate: threading.Event = field(default_factory=threading.Event)

    def infer(self, group: str, items: list[Any]) -> list[Any]:
        with self.lock:
            self.batches.append(items)
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            assert self.gate.wait(WAIT)
            if any(kind == "bad" for _, _, kind in items):
                raise ValueError("bad item")
            return [(group, *item) for item in items]
        finally:
            with self.lock:
                self.running -= 1


def prepare(_: str, item: Any) -> Any:
    if item[2] == "unprepared":
        raise ValueError("cannot be prepared")
    return item


def encode(_: int, output: Any) -> Any:
    if output[3] == "unencoded":
        raise ValueError("cannot be encoded")
    return output


def make(number: int, draw: random.Random) -> Job:
    kind = draw.choices(["good", "bad", "unprepared", "unencoded"], [12, 1, 1, 1])[0]
    items = [(number, index, "good") for index in range(draw.choice([1, 1, 1, 2, 5, 9]))]
    spoiled = draw.randrange(len(items))
    items[spoiled] = (*items[spoiled][:2], kind)
    late = draw.random() < 0.1
    return Job(draw.choice("ab"), items, encode, list, time.monotonic() + (-1 if late else WAIT))


def outcome(job: Job) -> Any:
    try:
        return job.future.result(WAIT)
    except (Exception, CancelledError) as error:
        return type(error)


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
@pytest.mark.parametrize("seed", SEEDS)
def test_every_job_gets_what_it_deserves(configuration: dict[str, int], seed: int) -> None:
    draw, device = random.Random(seed), Device()
    made = Batcher(prepare, device.infer, max_batch=MAX_BATCH, bound=BOUND, **configuration)
    accepted: list[Job] = []
    cancelled: set[Job] = set()
    if draw.random() < 0.5:
        device.gate.set()  # or else all wait for the first batches
    for number in range(30):
        job = make(number, draw)
        try:
            made.submit(job)
        except QueueFullError:
            continue
        accepted.append(job)
        if draw.random() < 0.1 and job.future.cancel():
            cancelled.add(job)
    device.gate.set()
    found = {job: outcome(job) for job in accepted}
    made.close()
    assert made._waiting == 0

    for job, got in found.items():
        kinds = {kind for _, _, kind in job.items}
        if job in cancelled:
            assert got is CancelledError
        elif job.deadline < time.monotonic():
            assert got in (DeadlinePassedError, ValueError)
        elif kinds == {"good"}:  # whatever else was in its batches
            assert got == [(job.group, *item) for item in job.items]
        else:
            assert got is ValueError
    assert device.most <= configuration["slots"] + configuration["ahead"]
    groups = {item[:2]: job.group for job in accepted for item in job.items}
    for batch in device.batches:
        assert len(batch) <= MAX_BATCH
        assert len({groups[item[:2]] for item in batch if isinstance(item, tuple)}) <= 1
    late = {job.items[0][0] for job in accepted if job.deadline < time.monotonic()}
    assert not late & {item[0] for batch in device.batches for item in batch if isinstance(item, tuple)}


@pytest.mark.parametrize("threads", [1, 4])  # of one slot, so that batches run in the order in which they were formed
@pytest.mark.parametrize("seed", SEEDS)
def test_no_job_gets_a_second_item_of_a_batch_before_each_has_its_first(threads: int, seed: int) -> None:
    draw, device = random.Random(seed), Device()
    made = Batcher(prepare, device.infer, slots=1, threads=threads, max_batch=MAX_BATCH, bound=1000)
    busy = Job("a", [(-1, 0, "good")], encode, list, time.monotonic() + WAIT)
    made.submit(busy)
    wait_for(lambda: device.batches)
    sizes = [draw.choice([1, 2, 9, 20]) for _ in range(draw.randrange(2, 12))]
    jobs = [
        Job("a", [(number, index, "good") for index in range(size)], encode, list, time.monotonic() + WAIT)
        for number, size in enumerate(sizes)
    ]
    for job in jobs:
        made.submit(job)
    device.gate.set()
    for job in jobs:
        job.future.result(WAIT)
    made.close()
    left = Counter(dict(enumerate(sizes)))
    for batch in device.batches[1:]:
        took = Counter(number for number, _, _ in batch)
        if max(took.values()) > 1:
            assert set(took) == set(+left)
        left -= took
    assert not left


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_a_closed_batcher_ends_every_thread_however_many_wait(configuration: dict[str, int]) -> None:
    for seed in range(20):
        device = Device()
        device.gate.set()
        made = Batcher(prepare, device.infer, max_batch=MAX_BATCH, bound=1000, **configuration)
        jobs = [make(number, random.Random(seed)) for number in range(10)]
        for job in jobs:
            made.submit(job)
        made.close()
        assert all(job.future.done() for job in jobs)
        assert not any(thread.is_alive() for thread in made._threads)


def test_latents_are_prepared_while_the_device_is_busy() -> None:
    device, prepared = Device(), threading.Event()

    def watch(_: str, item: Any) -> Any:
        if item[0] == 1:
            prepared.set()
        return item

    made = Batcher(watch, device.infer, slots=1, threads=3, ahead=1, max_batch=MAX_BATCH, bound=100)
    busy = Job("a", [(0, i, "good") for i in range(MAX_BATCH)], encode, list, time.monotonic() + WAIT)
    waits = Job("a", [(1, 0, "good")], encode, list, time.monotonic() + WAIT)
    made.submit(busy)
    made.submit(waits)
    assert prepared.wait(WAIT)
    assert not waits.future.done()
    device.gate.set()
    assert waits.future.result(WAIT)
    made.close()


def test_a_full_batch_goes_to_a_busy_device_and_a_smaller_one_waits_to_grow() -> None:
    device = Device()
    made = Batcher(prepare, device.infer, slots=1, threads=3, ahead=1, max_batch=MAX_BATCH, bound=100)
    jobs = [Job("a", [(i, 0, "good")], encode, list, time.monotonic() + WAIT) for i in range(3 * MAX_BATCH - 1)]
    for job in jobs:
        made.submit(job)
    device.gate.set()
    for job in jobs:
        job.future.result(WAIT)
    made.close()
    assert sum(map(len, device.batches)) == len(jobs)
    assert device.most <= 2
    assert all(len(batch) <= MAX_BATCH for batch in device.batches)
