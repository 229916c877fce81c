"""Splits a data set into parts without tearing a group apart, each class as evenly as the groups allow.

Knows no file and no model. A group is a `subject`; a video without one is a group of its own.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from training.data.dataset import Dataset, DatasetError, Sample

_TOTAL_WEIGHT = 3.0  # without it, parts that hold a little of every class would differ twofold in size


def group_of(sample: Sample) -> str:
    """What a split must keep together, and a bootstrap draw together."""
    return sample.subject or str(sample.path)


def hold_out_groups(dataset: Dataset, share: float, seed: int) -> tuple[Dataset, Dataset]:
    """(the rest, about `share` of the videos), no group in both; every class is in the rest.

    ValueError for a share outside (0, 1), DatasetError where the groups are too few for it.
    """
    if not 0 < share < 1:
        raise ValueError(f"share is {share}, but must lie between 0 and 1")
    rest, held = _parts(dataset, (1 - share, share), seed)
    _check_classes(dataset, rest, f"{share:.0%} of the videos")
    return rest, held


def fold_groups(dataset: Dataset, num_folds: int, seed: int, deal: int = 0) -> tuple[tuple[Dataset, Dataset], ...]:
    """For each fold (the rest, its part): the parts are of about equal size and together the data set.

    `deal`: the groups are dealt anew in each, from the same seed. No group in two parts; every class is in every rest.
    ValueError below two folds, DatasetError where the groups are too few for it.
    """
    if num_folds < 2:
        raise ValueError(f"{num_folds} folds, but there must be two or more")
    folds = []
    for part in _parts(dataset, [1 / num_folds] * num_folds, [seed, deal] if deal else seed):
        held = {sample.path for sample in part.samples}
        rest = dataset.subset(sample for sample in dataset.samples if sample.path not in held)
        _check_classes(dataset, rest, f"one fold of {num_folds}")
        folds.append((rest, part))
    return tuple(folds)


def halve_groups(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset] | None:
    """Two halves without a group in both, every class in each; None where the groups are too few for that."""
    try:
        (second, first), _ = fold_groups(dataset, 2, seed)
    except DatasetError:
        return None
    return first, second


def num_shared_groups(dataset: Dataset, split: str) -> int:
    """How many named groups of `split` occur in training too, which makes figures measured there too good."""
    of = {
        name: {sample.subject for sample in dataset.samples if sample.split == name and sample.subject}
        for name in ("train", split)
    }
    return len(of["train"] & of[split]) if split != "train" else 0


def _check_classes(dataset: Dataset, rest: Dataset, held: str) -> None:
    there, left = ({sample.label for sample in part.samples} for part in (dataset, rest))
    if lost := [dataset.labels[label] for label in sorted(there - left)]:
        raise DatasetError(
            f"with {held} held out by whole groups (`subject`), none of {', '.join(lost)} is left to learn from; give "
            "the classes videos of more groups"
        )


def _parts(dataset: Dataset, shares: Sequence[float], seed: int | list[int]) -> tuple[Dataset, ...]:
    """Largest group first, each to the part that most lacks its classes and videos at all.

    Least squares of what is missing, as shares of the whole: classes weigh the same.
    """
    members: dict[str, list[Sample]] = {}
    for sample in dataset.samples:
        members.setdefault(group_of(sample), []).append(sample)
    if len(members) < len(shares):
        raise DatasetError(
            f"{len(members)} groups cannot be split {len(shares)} ways; a group (`subject`) is never torn apart: give "
            "videos of more groups, or take fewer folds (`folds` in a plan)"
        )
    groups = list(members.values())
    np.random.default_rng(seed).shuffle(groups)
    groups.sort(key=len, reverse=True)  # stable: groups of one size stay shuffled
    whole_C = _counts(dataset.samples, dataset.num_classes)
    missing_PC = np.outer(shares, _scaled(whole_C, whole_C))
    part_of: dict[str, int] = {}
    taken_P = np.zeros(len(shares), int)
    for number, group in enumerate(groups):
        group_C = _scaled(_counts(group, dataset.num_classes), whole_C)
        gain_P = ((2 * missing_PC - group_C) * group_C).sum(axis=1)
        is_empty_P = taken_P == 0
        if len(groups) - number <= is_empty_P.sum():  # the last groups go where there is none yet
            gain_P[~is_empty_P] = -np.inf
        part = int(gain_P.argmax())
        missing_PC[part] -= group_C
        taken_P[part] += 1
        part_of[group_of(group[0])] = part
    return tuple(
        dataset.subset(sample for sample in dataset.samples if part_of[group_of(sample)] == part)
        for part in range(len(shares))
    )


def _counts(samples: Sequence[Sample], num_classes: int) -> NDArray[np.float64]:
    return np.bincount([sample.label for sample in samples], minlength=num_classes).astype(np.float64)


def _scaled(count_C: NDArray[np.float64], whole_C: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shares of each class, and of all videos times _TOTAL_WEIGHT as one more."""
    shares_C = count_C / np.maximum(whole_C, 1)
    return np.append(shares_C, _TOTAL_WEIGHT * count_C.sum() / whole_C.sum())
