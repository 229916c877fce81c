"""How many children there is room for: in a container, its own share of cores and memory counts, not the node's."""

import os
from pathlib import Path

import pytest

from video.children.capacity import memory_bytes, num_children, num_cores

GIB = 2**30


def cgroup(root: Path, **files: str) -> Path:
    for name, text in files.items():
        file = root / name.replace("__", "/").replace("_max", ".max")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def test_without_a_limit_there_is_one_child_per_core(tmp_path: Path) -> None:
    root = cgroup(tmp_path, cpu_max="max 100000", memory_max="max")
    assert num_cores(root) == len(os.sched_getaffinity(0))
    assert num_children(2**20, root) == num_cores(root)


def test_a_quota_of_cores_counts_and_is_rounded_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    assert num_cores(cgroup(tmp_path, cpu_max="150000 100000")) == 2


def test_a_limit_of_memory_bounds_the_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    root = cgroup(tmp_path, cpu_max="max 100000", memory_max=str(GIB))
    assert memory_bytes(root) == GIB
    assert num_children(GIB // 8, root) == 4  # half of the memory
    assert num_children(GIB, root) == 1  # never none


def test_the_first_version_of_cgroups_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    for name, text in {
        "cpu/cpu.cfs_quota_us": "300000",
        "cpu/cpu.cfs_period_us": "100000",
        "memory/memory.limit_in_bytes": str(GIB),
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert num_cores(tmp_path) == 3
    assert memory_bytes(tmp_path) == GIB


def test_where_nothing_is_known_of_cgroups_the_machine_counts(tmp_path: Path) -> None:
    assert num_cores(tmp_path) == len(os.sched_getaffinity(0))
    assert memory_bytes(tmp_path) > 2**20
