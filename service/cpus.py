"""How many CPUs this process may use, which in a container is not how many the machine has."""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")


def available() -> int:
    """Return the CPUs of this process's affinity, or fewer where its cgroup has a quota; at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([affinity, *map(math.ceil, quotas(CGROUPS, Path("/proc/self/cgroup")))]))


def quotas(root: Path, membership: Path) -> Iterator[float]:
    """Yield the CPU quota, in cores, of each cgroup that holds this process (v2, then v1)."""
    for folder in cgroup_folders(root, membership):
        quota, _, period = read_text(folder / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit():
            yield int(quota) / int(period)
    quota, period = read_text(root / "cpu" / "cpu.cfs_quota_us"), read_text(root / "cpu" / "cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit():
        yield int(quota) / int(period)


def cgroup_folders(root: Path, membership: Path) -> Iterator[Path]:
    """Yield the process's v2 cgroup and its parents: the tightest of their quotas holds."""
    for line in read_text(membership).splitlines():
        if line.startswith("0::"):
            folder = root / line[3:].lstrip("/")
            yield folder
            yield from (parent for parent in folder.parents if parent.is_relative_to(root))


def read_text(path: Path) -> str:
    """Return what a file of the kernel's says, or nothing where there is none."""
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""
