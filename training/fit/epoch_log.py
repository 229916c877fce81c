"""metrics.csv: a line per epoch, from sums that a checkpoint can carry.

Knows no network.

Shape suffixes: E exits.
"""

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class EpochSums:
    """An epoch's log so far."""

    batches: int = 0
    clips: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    exits_E: list[float] = field(default_factory=list)
    counts_E: list[int] = field(default_factory=list)

    def add(self, loss: float, exits_E: list[float]) -> None:
        self.batches += 1
        self.loss += loss
        self.exits_E = self.exits_E or [0.0] * len(exits_E)
        self.counts_E = self.counts_E or [0] * len(exits_E)
        for e, value in enumerate(exits_E):
            if not math.isnan(value):  # that exit was not computed
                self.exits_E[e] += value
                self.counts_E[e] += 1

    def means(self) -> dict[str, float]:
        pairs = enumerate(zip(self.exits_E, self.counts_E, strict=True))
        return {
            "loss": self.loss / max(self.batches, 1),
            **{f"loss_exit_{e}": total / count if count else math.nan for e, (total, count) in pairs},
            "clips_per_s": self.clips / self.seconds if self.seconds else 0.0,
        }

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def joined_sums(several: Sequence[EpochSums]) -> EpochSums:
    """Of processes that worked side by side; seconds are those of the slowest."""
    whole = EpochSums(seconds=max(one.seconds for one in several))
    for one in several:
        whole.batches += one.batches
        whole.clips += one.clips
        whole.loss += one.loss
        width = len(one.exits_E)
        whole.exits_E = whole.exits_E or [0.0] * width
        whole.counts_E = whole.counts_E or [0] * width
        for e in range(width):
            whole.exits_E[e] += one.exits_E[e]
            whole.counts_E[e] += one.counts_E[e]
    return whole


def write_metrics(path: Path, rows: list[dict[str, Any]]) -> None:
    """All rows, again: so a resumed run has no line twice. Epochs without an evaluation leave its columns empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    scratch = path.with_name(f".{path.name}.unfinished")
    with scratch.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)
    os.replace(scratch, path)
