"""Two processes on one machine, over gloo: they train one model, resume exactly and reach the quality of one."""

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
from rich.console import Console

from tests import DIGITS
from tests.training.conftest import make_trainer, tiny_recipe
from tests.training.test_loop import equal, rows
from tests.waiting import wait_for
from training import device, distributed, images, start
from training import evaluate as evaluation
from training.errors import InputError
from training.logbook import Logbook
from training.loop import Trainer
from training.recipe import Recipe
from training.run import Config, Run

pytestmark = pytest.mark.slow  # two processes that import torch, and a third that does what they do

SMALL = {"generator__width": "16", "critic__width": "16"}
FLOAT32 = device.Device(torch.device("cpu"), bfloat16=False)
RECIPES = ("digits-best", "cats", "lotus", "digits")  # R1, BatchNorm, a penalty of five critic steps, dropout


def make(out: Path, recipe: Recipe, minutes: float | None = None) -> Trainer:
    out.mkdir(parents=True)
    return make_trainer(out, recipe, minutes=minutes, device=FLOAT32)


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Return a copy of the weights of all networks."""
    networks = {"generator": trainer.gan.generator, "critic": trainer.gan.critic, "average": trainer.gan.average}
    states = ((name, network.state_dict()) for name, network in networks.items())
    return {f"{name}.{key}": value.clone() for name, state in states for key, value in state.items()}


# What each of the two processes does. It returns what torch.load reads with weights_only.


def steps(out: Path, name: str) -> dict[str, Any]:
    trainer, stats = make(out, tiny_recipe(name, images__flip="true", augment="[colour,translation,cutout]")), []
    for _ in range(2):
        trainer._advance()
        stats.append(trainer.averages.take())
    return {"stats": stats, "weights": weights(trainer), "seen": trainer.seen, "rng": torch.get_rng_state()}


def average() -> dict[str, Any]:
    """Average tensors, gradients and statistics that differ between the processes."""
    rank = distributed.rank()
    layer, norm = torch.nn.Linear(2, 1), torch.nn.BatchNorm1d(2)
    norm.running_mean.fill_(10.0 * rank)
    (layer(torch.full((1, 2), float(rank))).sum()).backward()
    distributed.average_gradients(layer.parameters())
    distributed.average_statistics(norm)
    stats = distributed.average_stats({"loss": torch.tensor(float(rank))})
    return {"gradient": layer.weight.grad, "mean": norm.running_mean, "loss": stats["loss"]}


def learn(out: Path) -> dict[str, Any]:
    """Train long enough to measure the quality."""
    trainer = make(out, tiny_recipe(kimg="16", snapshot_kimg="8", tick_kimg="4", **SMALL))
    trainer.train()
    return {"run": str(trainer.run.path)}


def spoil(out: Path) -> dict[str, Any]:
    """Pass NaN images to the second process only, between two valid steps."""
    trainer = make(out, tiny_recipe("cats"))
    trainer._advance()
    before, step = weights(trainer), trainer.gan.step
    if distributed.rank() == 1:
        trainer.gan.step = lambda reals, *others: step(reals * torch.nan, *others)  # type: ignore[method-assign]
    trainer._advance()
    after, skipped = weights(trainer), trainer.guard.take_skipped()
    trainer.gan.step = step  # type: ignore[method-assign]
    trainer._advance()
    return {"before": before, "after": after, "skipped": skipped, "later": weights(trainer)}


def stop_and_go_on(out: Path) -> dict[str, Any]:
    """Send a stop signal to the second process only, in the third step, and resume from the checkpoint."""
    trainer, recipe = make(out, tiny_recipe()), tiny_recipe()
    step = trainer.gan.step

    def interrupted(reals: torch.Tensor, seen: int, labels: torch.Tensor | None = None) -> Any:
        if seen == 32 and distributed.rank() == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(reals, seen, labels)

    trainer.gan.step = interrupted  # type: ignore[method-assign]
    finished, stopped_at = trainer.train(), trainer.seen
    files = sorted(path.name for path in trainer.run.path.iterdir())
    run = distributed.on_first_rank(lambda: trainer.run)
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
    """Raise an error on the first process only, then on the second only; return what each process catches."""

    def err() -> None:
        raise InputError(f"process {distributed.rank()}")

    with pytest.raises(InputError) as first:
        distributed.on_first_rank(err)
    with pytest.raises(InputError) as second:
        distributed.on_all_ranks(err if distributed.rank() == 1 else int)
    return [str(first.value), str(second.value)]


def act(folder: Path) -> dict[str, Any]:
    out = folder / f"of-{distributed.rank()}"
    done = {name: steps(out / name, name) for name in RECIPES}
    whole = (("spoilt", spoil), ("stopped", stop_and_go_on), ("whole", train), ("learnt", learn))
    told = {name: do(out / name) for name, do in whole}
    return done | told | {"average": average(), "budget": budget(out / "budget"), "mistakes": mistakes()}


def environment(rank: int, port: int) -> dict[str, str]:
    """Return the environment variables that torchrun sets, for this machine only."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "GLOO_SOCKET_IFNAME": "lo"}
    return where | {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}


@contextmanager
def reserved_port() -> Iterator[int]:
    """Reserve a port while the block runs; a listener needs SO_REUSEADDR, which torch sets."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def threads_of_gloo() -> list[str]:
    """Return the names of gloo's threads in this process."""
    names = []
    for path in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):  # it has ended since
            names.append(path.read_text().strip())
    return [name for name in names if "gloo" in name]


def join_and_act(folder: Path, rank: int, port: int) -> None:
    os.environ.update(environment(rank, port))
    torch.set_num_threads(1)
    distributed.init()
    told = act(folder)
    before = threads_of_gloo()
    distributed.shutdown()
    with suppress(AssertionError):  # told by the test below, with the names
        wait_for(lambda: not threads_of_gloo(), 10)  # the kernel lists a thread for a moment after its end
    torch.save(told | {"threads": {"before": before, "after": threads_of_gloo()}}, folder / f"{rank}.pt")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """Run all actions in two processes that are started once, because starting them is slow."""
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


@pytest.mark.parametrize("name", RECIPES)
def test_two_processes_train_one_model_with_random_numbers_of_their_own(name: str, pair: list[Any]) -> None:
    first, second = (did[name] for did in pair)
    assert equal(first["weights"], second["weights"])
    assert first["stats"] == second["stats"]
    assert first["seen"] == second["seen"] == 2 * tiny_recipe(name).batch * tiny_recipe(name).objective.critic_steps
    assert not torch.equal(first["rng"], second["rng"])


def test_gradients_statistics_and_figures_are_averaged(pair: list[Any]) -> None:
    for did in pair:
        assert did["average"]["gradient"].tolist() == [[0.5, 0.5]]
        assert did["average"]["mean"].tolist() == [5.0, 5.0]
        assert did["average"]["loss"].item() == 0.5


def test_two_processes_reach_the_quality_of_one(pair: list[Any], tmp_path: Path) -> None:
    scores = []
    for run in (Path(pair[0]["learnt"]["run"]), Path(learn(tmp_path / "alone")["run"])):
        result = evaluation.evaluate(run, DIGITS, 200, metrics=["swd"])
        scores.append({score.name: score for score in result.scores}["swd"])
    two, one = scores
    assert two.value < 2.5 * one.value  # so few images: with one process, four seeds differ by a factor of 2.2


def test_a_step_that_is_not_finite_in_one_process_is_undone_in_both(pair: list[Any]) -> None:
    first, second = (did["spoilt"] for did in pair)
    assert equal(first, second)
    assert first["skipped"] == 1
    assert equal(first["before"], first["after"])
    assert not equal(first["after"], first["later"])


def test_a_stop_signal_to_one_process_stops_both_after_the_same_step_and_the_first_saves(pair: list[Any]) -> None:
    first, second = (did["stopped"] for did in pair)
    assert first["finished"] is second["finished"] is False
    assert first["stopped_at"] == second["stopped_at"] == 48
    assert {"checkpoint-latest.pt", "generator-000000048.pt", "reals.png", "timelapse.webp"} < set(first["files"])
    assert second["files"] == ["config.json", "data.json"]  # which the test itself wrote


def test_two_processes_resume_bit_for_bit(pair: list[Any]) -> None:
    for did in pair:
        assert equal(did["stopped"]["weights"], did["whole"]["weights"])
    assert rows(Path(pair[0]["stopped"]["run"])) == rows(Path(pair[0]["whole"]["run"]))


def test_another_number_of_processes_resumes_with_other_random_numbers(pair: list[Any], tmp_path: Path) -> None:
    whole = shutil.copytree(pair[0]["whole"]["run"], tmp_path / "run")
    (whole / "checkpoint-latest.pt").unlink()  # then it goes on half way, with the one before
    alone = make(tmp_path / "other", tiny_recipe())
    alone.run, alone.logbook = Run(whole), Logbook(Run(whole), alone.console)
    alone.resume()
    assert alone.seen == 160
    assert alone.train()
    assert rows(whole)[-1]["images"] == 320


def test_a_budget_in_minutes_is_the_same_for_both(pair: list[Any]) -> None:
    first, second = (did["budget"] for did in pair)
    assert first == second
    assert first["total"] <= first["seen"] < first["total"] + 16


def test_shutdown_leaves_no_gloo_thread_running(pair: list[Any]) -> None:
    for did in pair:
        assert did["threads"]["before"]
        assert not did["threads"]["after"]


def test_an_error_in_one_process_is_raised_in_both(pair: list[Any]) -> None:
    assert [did["mistakes"] for did in pair] == [["process 0", "process 1"]] * 2


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
    with pytest.raises(InputError, match="fewer GPUs than processes; start 2"):
        device.choose("auto")


def test_torchrun_trains_one_run_and_one_process_prints(tmp_path: Path) -> None:
    small = ("generator.width=8", "critic.width=8", "batch=16", "kimg=0.16", "tick_kimg=0.08")
    settings = [argument for setting in small for argument in ("--set", setting)]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "training", "train", "--data", str(DIGITS), "--recipe", "digits", "--size", "16"]
    command += ["--out", str(tmp_path), *settings]
    told = os.environ | {"GLOO_SOCKET_IFNAME": "lo"}
    result = subprocess.run([*launcher, *command], capture_output=True, text=True, timeout=240, check=False, env=told)
    assert result.returncode == 0, result.stderr
    (run,) = tmp_path.iterdir()
    assert [row["images"] for row in rows(run)] == [*range(16, 176, 16)]  # ten lines, as many as a short run has
    assert (run / "report.html").exists()
    assert result.stdout.count(f"Done: {run}") == 1
    assert result.stdout.count("generator: ") == 1


def test_a_batch_that_cannot_be_divided_gets_one_sentence_and_exit_code_2() -> None:
    command = [
        sys.executable,
        "-m",
        "training",
        "train",
        "--data",
        str(DIGITS),
        "--recipe",
        "digits",
        "--set",
        "batch=25",
    ]
    with reserved_port() as port:
        processes = [
            subprocess.Popen(command, env=os.environ | environment(rank, port), stderr=subprocess.PIPE, text=True)
            for rank in range(2)
        ]
        said = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [2, 2]
    assert said == [
        "error: a batch of 25 cannot be divided among 2 processes; make batch a multiple of 2\n",
        "",
    ]


def test_minibatch_std_groups_are_not_split_between_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 2)
    distributed.check_batch(32, groups=True)
    distributed.check_batch(24, groups=False)
    with pytest.raises(InputError, match="multiple of 16"):
        distributed.check_batch(24, groups=True)


def test_a_process_without_peers_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InputError, match=r"other processes, but: .* RANK expected"):
        distributed.init()


def test_a_dry_run_with_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(distributed, "size", lambda: 2)
    config = Config(name="tiny", recipe=tiny_recipe(), data=str(DIGITS), seed=0, device="cpu", minutes=None)
    with pytest.raises(InputError, match="--dry-run runs in one process"):
        start.begin(tmp_path, config, None, Console(quiet=True), dry_run=True)
