"""How many decoding processes this machine, or the container around it, has room for. Knows nothing of what they do.

A container's share is its cgroup's: the node's cores and memory are not its own.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
_MEMORY_SHARE = 0.5  # the rest is the service's own: models, clips that wait, the page cache of uploads


def num_children(address_space_bytes: int, cgroups: Path = CGROUPS) -> int:
    """One per core, as long as half of the memory holds them all at their largest; at least one."""
    fitting = int(_MEMORY_SHARE * memory_bytes(cgroups) // address_space_bytes)
    return max(1, min(num_cores(cgroups), fitting))


def num_cores(cgroups: Path = CGROUPS) -> int:
    """Cores that this process may use: those it may run on, or what its cgroup's quota comes to, rounded up."""
    quotas = []
    for folder in _folders(cgroups):
        match _words(folder / "cpu.max"):
            case [quota, period] if quota.isdigit():
                quotas.append(int(quota) / int(period))
    match _words(cgroups / "cpu/cpu.cfs_quota_us"), _words(cgroups / "cpu/cpu.cfs_period_us"):
        case [quota], [period] if quota.isdigit():  # the first version of cgroups; -1 is none
            quotas.append(int(quota) / int(period))
    return max(1, min([len(os.sched_getaffinity(0)), *map(math.ceil, quotas)]))


def memory_bytes(cgroups: Path = CGROUPS) -> int:
    """Memory that this process may use: the machine's, or its cgroup's limit."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    files = [folder / "memory.max" for folder in _folders(cgroups)]
    limits = [words for file in (*files, cgroups / "memory/memory.limit_in_bytes") if (words := _words(file))]
    return min([machine, *(int(words[0]) for words in limits if words[0].isdigit())])


def _folders(cgroups: Path) -> Iterator[Path]:
    """This process's cgroup and all above it: each limits what is below."""
    place = next((line[3:] for line in _lines(Path("/proc/self/cgroup")) if line.startswith("0::")), "/")
    folder = cgroups / place.lstrip("/")
    while folder != cgroups and cgroups in folder.parents:
        yield folder
        folder = folder.parent
    yield cgroups


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
