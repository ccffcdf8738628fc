from pathlib import Path

import pytest

from service import cpus


def test_a_container_with_two_cpus_counts_two(tmp_path: Path) -> None:
    inner = tmp_path / "sys" / "pod" / "container"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("max 100000\n")
    (inner.parent / "cpu.max").write_text("200000 100000\n")
    (tmp_path / "cgroup").write_text("0::/pod/container\n")
    assert list(cpus.quotas(tmp_path / "sys", tmp_path / "cgroup")) == [2.0]


def test_the_first_version_of_cgroups_is_understood(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("150000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert list(cpus.quotas(tmp_path, tmp_path / "none")) == [1.5]


def test_no_quota_is_no_limit(tmp_path: Path) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert list(cpus.quotas(tmp_path, tmp_path / "none")) == []


@pytest.mark.parametrize(("quota", "expected"), [([], 8), ([1.5], 2), ([0.2], 1), ([64.0], 8)])
def test_the_tightest_limit_holds(monkeypatch: pytest.MonkeyPatch, quota: list[float], expected: int) -> None:
    monkeypatch.setattr(cpus.os, "sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr(cpus, "quotas", lambda *_: iter(quota))
    assert cpus.available() == expected
