"""Where a run stands, on disk: written whole or not at all, read back without running any code from the file.

Knows no network: a checkpoint is tensors, numbers and text.
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Between two optimiser steps. No state of a random generator: every step seeds its own (see `trainer`)."""

    ended: bool
    stage: int
    epoch: int
    """Of the stage."""
    step: int
    """Of the epoch: optimiser steps done."""
    total_steps: int
    """Optimiser steps done since the run began; which batches come next."""
    best_score: tuple[float, float] | None
    """Of the stage."""
    best_epoch: int
    sums: dict[str, Any]
    """Running sums of the epoch's log."""
    rows: list[dict[str, Any]]
    """The finished epochs' lines of metrics.csv."""
    network: dict[str, Tensor]
    optimizer: dict[str, Any]
    average: dict[str, Tensor] | None
    """Of the weights, where the recipe asks for one."""


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    values = {entry.name: getattr(checkpoint, entry.name) for entry in fields(checkpoint)}
    _replace(path, lambda scratch: torch.save(values, scratch))


def load_checkpoint(path: Path) -> Checkpoint:
    """Raises ValueError for a file that is no checkpoint."""
    try:
        return Checkpoint(**torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch.load raises whatever its parts raise
        raise ValueError(f"{path} is no checkpoint of this version ({error}); train into another folder") from error


def save_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """A safetensors file with copies of `tensors`, on the CPU, contiguous."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    _replace(path, lambda scratch: safetensors.torch.save_file(plain, scratch))


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold the folder while training into it. Raises ValueError where another process does."""
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(f"another process is training into {folder}; wait for it or choose a folder") from error
        yield


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    """Through a file beside it that reaches the disk first, so that a crash leaves the old one or the new one."""
    scratch = path.with_name(f".{path.name}.unfinished")
    write(scratch)
    with scratch.open("rb") as stream:
        os.fsync(stream.fileno())
    os.replace(scratch, path)
