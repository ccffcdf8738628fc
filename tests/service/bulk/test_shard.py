"""``generate --shard 3/16``: a run that several machines share, whose files are copied together."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.bulk import plan as plans
from service.bulk.plan import Part, Plan
from service.errors import ServiceError
from tests import tiny
from tests.service.bulk.test_classes import run
from tests.service.bulk.test_run import files

SEEDS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=4).map(
    lambda pairs: ",".join(f"{first}-{first + more}" for first, more in pairs)
)
OUTS = st.sampled_from(["faces", "faces-{00}.tar", "faces-{0}.zip"])
WRONG = ("0/4", "5/4", "1/0", "3", "3/", "-1/4", "a/b", "1/4/2", "1 /4")
COUNTS = st.integers(1, 40)
PER_CLASS = st.one_of(st.none(), st.integers(1, 15))


def planned(seeds: str, out: str, size: int, per_class: int | None) -> Plan:
    made = plans.plan(seeds, Path(out), size if "{" in out else None)
    return made if per_class is None else made.in_classes(tiny.conditional(), [0, 2], per_class)


@given(SEEDS, OUTS, st.integers(1, 9), COUNTS, PER_CLASS)
def test_the_shards_of_a_run_write_each_of_its_files_once(
    seeds: str, out: str, size: int, count: int, per_class: int | None
) -> None:
    whole = planned(seeds, out, size, per_class)
    shards = [whole.shard(number, count) for number in range(1, count + 1)]
    parts = [list(shard.parts()) for shard in shards]
    assert list(itertools.chain(*parts)) == list(whole.parts())
    assert [len(shard) for shard in shards] == [sum(len(part.images) for part in some) for some in parts]
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(st.integers(1, 2**32), st.data())
def test_a_shard_of_all_seeds_there_are_is_planned_at_once(count: int, data: st.DataObject) -> None:
    number = data.draw(st.integers(1, count))
    shard = plans.plan("0-4294967295", Path("faces"), None).shard(number, count)
    first = 2**32 * (number - 1) // count
    assert next(shard.parts()) == Part(Path(f"faces/seed{first:04d}.png"), next(shard.parts()).images)
    assert len(shard) == 2**32 * number // count - first


@given(SEEDS, OUTS, st.integers(1, 5), PER_CLASS)
@settings(max_examples=12)
def test_the_files_of_all_shards_copied_together_are_those_of_one_run(
    letters: Path, tmp_path_factory: pytest.TempPathFactory, seeds: str, out: str, count: int, per_class: int | None
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    merged: dict[str, bytes] = {}

    def draw(machine: str, shard: str | None) -> dict[str, bytes]:
        (folder / machine).mkdir()
        asked = {"seeds": seeds} if per_class is None else {"per_class": per_class}
        run(letters, folder / machine / out, shard=shard, shard_size=4 if "{" in out else None, **asked)
        return files(folder / machine)

    for number in range(1, count + 1):
        drawn = draw(str(number), f"{number}/{count}")
        assert not merged.keys() & drawn.keys()
        merged |= drawn
    assert merged == draw("whole", None)
    assert merged


def test_what_one_machine_has_left_others_draw_after_the_files_are_there(letters: Path, tmp_path: Path) -> None:
    run(letters, tmp_path / "whole", seeds="0-19")
    run(letters, tmp_path / "merged", seeds="0-19", shard="2/3")
    for number in range(1, 6):  # in another number of shards
        run(letters, tmp_path / "merged", seeds="0-19", shard=f"{number}/5")
    assert files(tmp_path / "merged") == files(tmp_path / "whole")


def test_a_shard_without_files_draws_nothing_and_makes_the_folders(letters: Path, tmp_path: Path) -> None:
    run(letters, tmp_path / "out", seeds="7", classes="A,B", shard="1/3")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["A", "B"]
    assert files(tmp_path / "out") == {}


@pytest.mark.parametrize(
    "asked",
    [
        *(
            {"seeds": "0-9", "shard": shard}
            for shard in ("0/4", "5/4", "1/0", "3", "3/", "-1/4", "a/b", "1/4/2", "1 /4")
        ),
        {"seed": 1, "shard": "1/4"},
        {"seeds": "0-9", "shard": "1/4", "out": Path("faces.tar")},
        {"seeds": "0-9", "shard": "1/4", "out": Path("faces.zip")},
    ],
)
def test_a_shard_that_cannot_be_meant_is_one_sentence(letters: Path, tmp_path: Path, asked: dict[str, Any]) -> None:
    with pytest.raises(ServiceError, match="--shard") as refused:
        run(letters, **{"out": tmp_path / "out", **asked})
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()
