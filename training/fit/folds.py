"""Cross-fitting on disk: a run per fold beside the one on everything.

Knows no network.

    OUT/fold-0, OUT/fold-1, ...   runs like any other; each learns from all but its fold, which it is scored on; where
                                  groups are dealt several times, the folds of the first deal come first
    OUT                           the run on everything, once they are done
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.fit.run import METRICS, read_run


@dataclass(frozen=True, slots=True)
class EpochScore:
    """Of all folds together: every video counts alike, judged by networks that never saw its group."""

    stage: int
    epoch: int
    """Of the stage; 0 is how it began."""
    accuracy: float
    """Mean over videos and exits."""
    loss: float


def fold_folder(out: Path, fold: int) -> Path:
    return out / f"fold-{fold}"


def scores_over_folds(folds: Sequence[Path]) -> list[EpochScore]:
    """In order, of the epochs that every fold was scored after: whether a stage is too long is read off here."""
    if not all((folder / METRICS).exists() for folder in folds):  # heads in closed form alone: no epochs
        return []
    num_videos = [len(read_run(folder).data.held_out_files) for folder in folds]
    scores = [_scores(folder / METRICS) for folder in folds]
    means = []
    for stage, epoch in sorted(set(scores[0]).intersection(*scores[1:])):
        parts = [(count, *found[stage, epoch]) for count, found in zip(num_videos, scores, strict=True)]
        accuracy = sum(count * accuracy for count, accuracy, _ in parts) / sum(num_videos)
        loss = sum(count * loss for count, _, loss in parts) / sum(num_videos)
        means.append(EpochScore(stage, epoch, accuracy, loss))
    return means


def _scores(metrics: Path) -> dict[tuple[int, int], tuple[float, float]]:
    """(accuracy, loss) on the fold by (stage, epoch)."""
    with metrics.open(newline="", encoding="utf-8") as stream:
        return {
            (int(row["stage"]), int(row["epoch"])): (float(row["held_out_accuracy"]), float(row["held_out_loss"]))
            for row in csv.DictReader(stream)
            if row["held_out_accuracy"]
        }
