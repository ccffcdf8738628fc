import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from tests.training.conftest import full_disk, make_trainer, tiny_recipe
from training.errors import DiskError, InputError, TrainingError
from training.files import hard_link, write_atomically
from training.run import Run, load_checkpoint_of


@pytest.fixture
def run(tmp_path: Path) -> Run:
    trainer = make_trainer(tmp_path, tiny_recipe())
    trainer._save()
    return trainer.run


def test_a_write_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    words = r"could not be written \(File too large\); what was there before is intact"
    with full_disk(), pytest.raises(TrainingError, match=words):
        write_atomically(path, b"new" * 1000)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_place_where_no_file_can_be_is_told_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DiskError, match="could not be written"):
        write_atomically(tmp_path / "file" / "grid.png", b"")
    with pytest.raises(DiskError, match="could not be written"):
        hard_link(tmp_path / "file", tmp_path / "file" / "second")


def test_run_folders_are_numbered(tmp_path: Path) -> None:
    names = [make_trainer(tmp_path, tiny_recipe()).run.path.name for _ in range(2)]
    assert names == ["00000-tiny-dcgan", "00001-tiny-dcgan"]


def test_runs_that_start_at_one_moment_all_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make_trainer(tmp_path, tiny_recipe()).run.config()
    together = threading.Barrier(4)
    mkdir = Path.mkdir

    def meet(path: Path, **given: bool) -> None:
        if path.name.startswith("00001"):
            together.wait(30)  # until all have chosen the same number
        mkdir(path, **given)

    monkeypatch.setattr(Path, "mkdir", meet)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: Run.create(tmp_path, config), range(4)))
    assert sorted(run.path.name[:5] for run in made) == ["00001", "00002", "00003", "00004"]
    assert all(run.config() == config for run in made)


def test_a_checkpoint_of_version_0_1_is_read(run: Run) -> None:
    state = torch.load(run.checkpoint, weights_only=True)
    state["game"] = state.pop("gan")
    state["game"]["rng"] = state["game"]["rng"][0]
    torch.save(state, run.checkpoint)
    loaded, _ = run.load_checkpoint()
    trainer = make_trainer(run.path.parent, tiny_recipe())
    trainer.gan.load_state_dict(loaded["gan"])
    assert torch.equal(torch.get_rng_state(), state["game"]["rng"])


def test_config_and_report_come_back_as_they_were(run: Run) -> None:
    assert Run.open(run.path).config().recipe == tiny_recipe()
    assert run.report().count == 400
    (run.path / "data.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be read, or another version wrote it"):
        run.report()


def test_a_generator_comes_back_with_its_weights(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe())
    for _ in range(3):
        trainer._advance()
    trainer._save()
    loaded = trainer.run.load_generator()
    latents = torch.randn(4, 16)
    torch.testing.assert_close(loaded.generator(latents), trainer.gan.sample(latents, trainer.gan.snapshot()))
    assert loaded.images_seen == 48


def test_an_earlier_snapshot_is_named_by_its_file(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tiny_recipe())
    trainer.train()
    first, *_, last = trainer.run.snapshots()
    assert Run.open(first).path == trainer.run.path
    seen = [Run.open(path).load_generator().images_seen for path in (first, last, trainer.run.path)]
    assert seen[0] < seen[1] == seen[2]


def test_a_pickle_that_would_run_code_is_refused(run: Run, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path}/ran",)

    for path in (run.checkpoint, *run.path.glob("generator-*.pt")):
        torch.save({"weights": Evil()}, path)
    for load in (run.load_checkpoint, run.load_generator):
        with pytest.raises(InputError, match="damaged or was not written by this program"):
            load()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("damage", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_named(run: Run, damage: bytes | None) -> None:
    whole = run.checkpoint.read_bytes()
    run.checkpoint.write_bytes(whole[:-500] if damage is None else damage)
    with pytest.raises(InputError, match=r"checkpoint-latest\.pt is damaged"):
        run.load_checkpoint()


def test_a_damaged_checkpoint_falls_back_to_the_previous_one(run: Run) -> None:
    first, _ = run.load_checkpoint()
    run.save_checkpoint(first | {"seen": 16})
    run.checkpoint.write_bytes(run.checkpoint.read_bytes()[:-500])
    state, warning = run.load_checkpoint()
    assert state["seen"] == 0
    assert warning is not None
    assert warning.endswith(
        "checkpoint-latest.pt is damaged or was not written by this program; resuming from checkpoint-previous.pt"
    )
    run.save_checkpoint(first | {"seen": 32})  # the whole one is still there beside it
    assert torch.load(run.previous, weights_only=True)["seen"] == 0
    assert run.load_checkpoint()[0]["seen"] == 32


@pytest.mark.parametrize("links", [True, False])
def test_the_last_two_checkpoints_are_kept(run: Run, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: os.stat("/nowhere"))
    state, _ = run.load_checkpoint()
    for seen in (16, 32, 48):
        run.save_checkpoint(state | {"seen": seen})
    assert [torch.load(path, weights_only=True)["seen"] for path in (run.previous, run.checkpoint)] == [32, 48]
    assert not list(run.path.glob(".*"))


def test_on_a_full_disk_both_checkpoints_stay_whole(run: Run) -> None:
    state, _ = run.load_checkpoint()
    with full_disk(), pytest.raises(TrainingError, match=r"checkpoint-latest\.pt could not be written"):
        run.save_checkpoint(state | {"seen": 16})
    for path in (run.checkpoint, run.previous):
        assert torch.load(path, weights_only=True)["seen"] == 0


def test_weights_of_another_network_are_refused(run: Run, tmp_path: Path) -> None:
    wider = make_trainer(tmp_path / "other", tiny_recipe(generator__width="16"))
    wider._save()
    wider.run.checkpoint.replace(run.checkpoint)
    trainer = make_trainer(tmp_path / "third", tiny_recipe())
    run.checkpoint.replace(trainer.run.checkpoint)
    with pytest.raises(InputError, match="does not fit this run's recipe"):
        trainer.resume()


def test_what_is_no_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run folder"):
        Run.open(tmp_path)
    fresh = make_trainer(tmp_path, tiny_recipe()).run
    with pytest.raises(InputError, match="holds no generator yet"):
        fresh.load_generator()
    with pytest.raises(InputError, match="does not exist"):
        fresh.load_checkpoint()


@pytest.mark.parametrize(
    "content", [b"", b"junk\n", b"\x80\x04", b"PK\x03\x04", b"h\n", b"cos\nsystem\n(S'true'\ntR.", b"."]
)
def test_what_is_no_checkpoint_is_refused_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "checkpoint-latest.pt"
    file.write_bytes(content)
    with pytest.raises(InputError, match="is damaged or was not written by this program"):
        load_checkpoint_of(file)
