"""Two processes on one machine, over gloo: what they train is what one trains."""

import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import DIGITS
from tests.training.conftest import make_trainer, tiny_recipe
from tests.training.test_loop import rows, same
from tests.waiting import wait_for
from training import device, distributed, images
from training import recipe as recipes
from training.__main__ import _train
from training.errors import InputError
from training.logbook import Logbook
from training.loop import Trainer
from training.networks.layers import MinibatchStd
from training.recipe import Recipe
from training.run import Config, Run

pytestmark = pytest.mark.slow  # two processes that import torch, and a third that does what they do

FLOAT32 = device.Device(torch.device("cpu"), bfloat16=False)
# All that is drawn at random, so that none of it is left out of the sharing.
CHANCE = {"augment": "[colour,translation,cutout]", "images__flip": "true"}


def games() -> dict[str, Recipe]:
    """What is to be the same: each recipe that comes with the package, and what these do only later."""
    made = {name: tiny_recipe(name, **CHANCE) for name in recipes.names()}
    # A critic that has learned nothing is flat: only a large weight makes its R1 penalty felt.
    made["r1"] = tiny_recipe("digits-best", objective__penalty="1e6", objective__penalty_every="2", **CHANCE)
    made["doubled batch"] = tiny_recipe("lotus", double_batch_kimg="0.08", **CHANCE)
    made["r3gan"] = tiny_recipe("digits-best", objective__name="r3gan", **CHANCE)
    return made


def make(out: Path, recipe: Recipe, minutes: float | None = None) -> Trainer:
    out.mkdir(parents=True)
    return make_trainer(out, recipe, minutes=minutes, device=FLOAT32)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    """All that was learned, as it is now and stays."""
    networks = {"generator": trainer.game.generator, "critic": trainer.game.critic, "average": trainer.game.average}
    states = ((name, network.state_dict()) for name, network in networks.items())
    return {f"{name}.{key}": value.clone() for name, state in states for key, value in state.items()}


# What each of the two processes does. It returns what torch.load reads with weights_only.


def play(out: Path, recipe: Recipe) -> dict[str, Any]:
    trainer, stats = make(out, recipe), []
    for _ in range(2):
        trainer._advance()
        stats.append(trainer.averages.take())
    return {"stats": stats, "weights": weights(trainer), "seen": trainer.seen, "rng": torch.get_rng_state()}


def spoil(out: Path) -> dict[str, Any]:
    """Let the second process alone see images that are no numbers, between two good steps."""
    trainer = make(out, tiny_recipe("cats"))
    trainer._advance()
    before, step = weights(trainer), trainer.game.step
    if distributed.rank() == 1:
        trainer.game.step = lambda reals, seen: step(reals * torch.nan, seen)  # type: ignore[method-assign]
    trainer._advance()
    after, skipped = weights(trainer), trainer.guard.take_skipped()
    trainer.game.step = step  # type: ignore[method-assign]
    trainer._advance()
    return {"before": before, "after": after, "skipped": skipped, "later": weights(trainer)}


def stop_and_go_on(out: Path) -> dict[str, Any]:
    """Let the second process alone be told to stop, in the third step; go on with what the first one saved."""
    trainer, recipe = make(out, tiny_recipe()), tiny_recipe()
    step = trainer.game.step

    def interrupted(reals: torch.Tensor, seen: int) -> Any:
        if seen == 32 and distributed.rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(reals, seen)

    trainer.game.step = interrupted  # type: ignore[method-assign]
    finished, stopped_at = trainer.train(), trainer.seen
    files = sorted(path.name for path in trainer.run.path.iterdir())
    run = distributed.by_first(lambda: trainer.run)
    again = Trainer(run, trainer.config, images.read(DIGITS, recipe.images), FLOAT32, trainer.console)
    again.resume()
    again.train()
    told = {"finished": finished, "stopped_at": stopped_at, "files": files}
    return told | {"run": str(run.path), "weights": weights(again)}


def train(out: Path) -> dict[str, Any]:
    trainer = make(out, tiny_recipe())
    trainer.train()
    return {"run": str(trainer.run.path), "weights": weights(trainer)}


def budget(out: Path) -> dict[str, Any]:
    trainer = make(out, tiny_recipe(), minutes=0.01)
    trainer.train()
    return {"total": trainer.total, "seen": trainer.seen}


def mistakes() -> list[str]:
    """What each process hears of a mistake that only the first one meets, then of one that only the second one does."""

    def err() -> None:
        raise InputError(f"process {distributed.rank()}")

    with pytest.raises(InputError) as first:
        distributed.by_first(err)
    with pytest.raises(InputError) as second:
        distributed.by_all(err if distributed.rank() == 1 else int)
    return [str(first.value), str(second.value)]


def act(folder: Path) -> dict[str, Any]:
    out = folder / f"of-{distributed.rank()}"
    done = {name: play(out / name, recipe) for name, recipe in games().items()}
    told = {name: do(out / name) for name, do in (("spoilt", spoil), ("stopped", stop_and_go_on), ("whole", train))}
    return done | told | {"budget": budget(out / "budget"), "mistakes": mistakes()}


def environment(rank: int, port: int) -> dict[str, str]:
    """What torchrun tells a process; all of it stays on this machine."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    return where | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port that nobody else gets while the block runs; who listens on it has to say SO_REUSEADDR, as torch does."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def threads_of_gloo() -> list[str]:
    """The names of this process's threads that are gloo's."""
    names = []
    for path in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # it has ended since
            names.append(path.read_text().strip())
    return [name for name in names if "gloo" in name]


def join_and_act(folder: Path, rank: int, port: int) -> None:
    os.environ.update(environment(rank, port))
    torch.set_num_threads(1)
    distributed.join()
    told = act(folder)
    before = threads_of_gloo()
    distributed.leave()
    with suppress(AssertionError):  # told by the test below, with the names
        wait_for(lambda: not threads_of_gloo(), 10)  # the kernel lists a thread for a moment after its end
    torch.save(told | {"threads": {"before": before, "after": threads_of_gloo()}}, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the two processes did, in one start of them: that is what takes the time."""
    folder, context = tmp_path_factory.mktemp("pair"), multiprocessing.get_context("spawn")
    with reserved_port() as port:
        processes = [context.Process(target=join_and_act, args=(folder, rank, port)) for rank in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join(240)
            process.kill()  # where it hangs
    assert [process.exitcode for process in processes] == [0, 0]
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("name", games())
def test_two_processes_play_the_game_of_one(name: str, pair: list[Any], tmp_path: Path) -> None:
    alone, first, second = play(tmp_path / "alone", games()[name]), *(played[name] for played in pair)
    assert same(first, second)
    assert first["seen"] == alone["seen"]
    assert torch.equal(first["rng"], alone["rng"])
    for mine, theirs in zip(alone["stats"], first["stats"], strict=True):
        assert mine.keys() == theirs.keys()
        curve = {figure for figure in mine if figure.endswith("loss") or figure == "penalty"}
        assert {key: theirs[key] for key in curve} == pytest.approx({key: mine[key] for key in curve}, rel=1e-4)
    # The last bias of a critic that only compares has no gradient but rounding, which Adam makes into steps.
    learned = [key for key, value in alone["weights"].items() if value.ndim != 1 or not key.startswith("critic")]
    for key in learned:
        torch.testing.assert_close(first["weights"][key], alone["weights"][key], rtol=0, atol=2e-5)


def test_a_step_that_is_not_finite_in_one_process_is_taken_back_in_both(pair: list[Any]) -> None:
    first, second = (did["spoilt"] for did in pair)
    assert same(first, second)
    assert first["skipped"] == 1
    assert same(first["before"], first["after"])
    assert not same(first["after"], first["later"])


def test_one_process_that_is_told_to_stop_stops_both_after_the_same_step_and_the_first_saves(pair: list[Any]) -> None:
    first, second = (did["stopped"] for did in pair)
    assert first["finished"] is second["finished"] is False
    assert first["stopped_at"] == second["stopped_at"] == 48
    assert {"checkpoint-latest.pt", "generator-000000048.pt", "reals.png", "timelapse.webp"} < set(first["files"])
    assert second["files"] == ["config.json", "data.json"]  # which the test itself wrote


def test_two_processes_resume_bit_for_bit(pair: list[Any]) -> None:
    for did in pair:
        assert same(did["stopped"]["weights"], did["whole"]["weights"])
    assert rows(Path(pair[0]["stopped"]["run"])) == rows(Path(pair[0]["whole"]["run"]))


def test_one_process_goes_on_with_what_two_began(pair: list[Any], tmp_path: Path) -> None:
    whole = shutil.copytree(pair[0]["whole"]["run"], tmp_path / "run")
    (whole / "checkpoint-latest.pt").unlink()  # then it goes on half way, with the one before
    alone = make(tmp_path / "other", tiny_recipe())
    alone.run, alone.logbook = Run(whole), Logbook(Run(whole), alone.console)
    alone.resume()
    assert alone.seen == 160
    assert alone.train()
    for key, value in weights(alone).items():
        torch.testing.assert_close(value, pair[0]["whole"]["weights"][key], rtol=0, atol=1e-3)


def test_a_budget_in_minutes_is_the_same_for_both(pair: list[Any]) -> None:
    first, second = (did["budget"] for did in pair)
    assert first == second
    assert first["total"] <= first["seen"] < first["total"] + 16


def test_who_leaves_has_no_thread_left_that_could_meet_the_end_of_the_interpreter(pair: list[Any]) -> None:
    for did in pair:
        assert did["threads"]["before"]
        assert not did["threads"]["after"]


def test_a_mistake_that_one_process_meets_is_heard_by_both(pair: list[Any]) -> None:
    assert [did["mistakes"] for did in pair] == [["process 0", "process 1"]] * 2


def test_packs_are_dealt_so_that_shares_join_as_batches_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 2)
    first, second = torch.arange(32), torch.arange(100, 164)
    for rank in range(2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        joined = distributed.share(torch.cat([first, second]))
        assert torch.equal(joined, torch.cat([distributed.share(first), distributed.share(second)]))
        packs = joined.reshape(-1, distributed.PACK)
        assert torch.equal(packs - packs[:, :1], torch.arange(8).expand(6, 8))  # neighbours stay neighbours
    assert MinibatchStd.group == distributed.PACK


def test_each_process_of_a_machine_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    for local_rank in range(2):
        monkeypatch.setattr(distributed, "local_rank", lambda local_rank=local_rank: local_rank)
        device.choose("auto")
    assert taken == [0, 1]
    monkeypatch.setattr(distributed, "local_rank", lambda: 2)
    with pytest.raises(InputError, match="fewer GPUs than processes: start 2"):
        device.choose("auto")


def test_torchrun_trains_one_run_and_one_process_speaks(tmp_path: Path) -> None:
    small = ("generator.width=8", "critic.width=8", "batch=16", "kimg=0.16", "tick_kimg=0.08")
    settings = [argument for setting in small for argument in ("--set", setting)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "training", "train", "--data", str(DIGITS), "--size", "16", "--out", str(tmp_path), *settings]
    told = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    result = subprocess.run([*launcher, *command], capture_output=True, text=True, timeout=240, check=False, env=told)
    assert result.returncode == 0, result.stderr
    (run,) = tmp_path.iterdir()
    assert [row["images"] for row in rows(run)] == [80, 160]
    assert (run / "report.html").exists()
    assert result.stdout.count(f"Done: {run}") == 1
    assert result.stdout.count("generator: ") == 1


def test_a_batch_that_cannot_be_dealt_gets_one_sentence_and_exit_code_2() -> None:
    command = [sys.executable, "-m", "training", "train", "--data", str(DIGITS), "--set", "batch=24"]
    with reserved_port() as port:
        processes = [
            subprocess.Popen(command, env=os.environ | environment(rank, port), stderr=subprocess.PIPE, text=True)
            for rank in range(2)
        ]
        said = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    assert said == [
        "error: a batch of 24 cannot be dealt to 2 processes in packs of 8; make batch a multiple of 16\n",
        "",
    ]


def test_a_process_that_cannot_find_the_others_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match=r"other processes, but: .* RANK expected"):
        distributed.join()


def test_a_dry_run_is_for_one_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 2)
    config = Config(name="tiny", recipe=tiny_recipe(), data=str(DIGITS), seed=0, device="cpu", minutes=None)
    with pytest.raises(InputError, match="--dry-run plans for one process"):
        _train(tmp_path, config, dry_run=True)
