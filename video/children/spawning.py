"""Starts a child's program: anew, with next to nothing in its environment. Knows not what it does."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import video

# All a decoder needs of the environment; keys, tokens and addresses of the service stay out of its reach.
_ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "PYTHONHOME")


def spawn(
    program: str, connection: socket.socket, address_space_bytes: int, niceness: int
) -> "subprocess.Popen[bytes]":
    """Not forked from a process that holds models and threads; takes a few milliseconds. `program` is a module."""
    arguments = connection.fileno(), address_space_bytes, niceness, os.getpid()
    return subprocess.Popen(
        [sys.executable, "-P", "-m", program, *map(str, arguments)],
        pass_fds=[connection.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env=_environment(),
    )


def _environment() -> dict[str, str]:
    root = Path(video.__file__).resolve().parents[1]
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # numpy's BLAS would reserve address space for threads that nothing here uses, glibc for every thread there is
    return kept | {"PYTHONPATH": str(root), "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
