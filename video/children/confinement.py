"""What every child process does about itself: limits, and how near it came to them. Knows no video and no message."""

import ctypes
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_PR_SET_PDEATHSIG = 1
_FIRST_TO_DIE = 1000
_LAST_NICENESS = 19


def confine(address_space_bytes: int, niceness: int, parent_pid: int) -> None:
    """Limits that hold whatever libav is talked into: memory, no core dump, no byte written to any file.

    Where the machine runs out of memory, it is a child that the kernel ends, not the service.
    """
    with suppress(OSError):  # not everywhere is there one to write to
        Path("/proc/self/oom_score_adj").write_text(str(_FIRST_TO_DIE))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it closes the socket
    for kind, wanted in (
        (resource.RLIMIT_AS, address_space_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(kind, (limit, limit))
    os.nice(niceness)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent_pid:  # it died before we asked to be told
            raise SystemExit(1)


def peak_bytes() -> int:
    """The most address space that this process ever had; 0 where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmPeak:")), 0)


def stepping_back(work: Callable[[], T]) -> T:
    """`work()` in a thread that leaves the cores to others, and so do libav's threads, which it starts.

    A process could not take its own priority back afterwards.
    """

    def last() -> T:
        if sys.platform == "linux":  # elsewhere priorities are those of processes
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LAST_NICENESS)
        return work()

    with ThreadPoolExecutor(1) as threads:
        return threads.submit(last).result()
