"""Scores of a set of videos, and how far to trust them: intervals by resampling whole groups, paired differences.

Knows no model, file or plot: numbers in, numbers out, the same for the same seed.

Videos of one group (a session, a source video, a pair of actors) are alike, so that groups are resampled, not videos,
and within each source, so that the mixture of sources stays as it is. Intervals are 95 %.

Shape suffixes: N videos, C classes, G groups, D draws of the bootstrap, B bins.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NUM_DRAWS = 2000
NUM_BINS = 15  # Guo et al., ICML 2017
LEAST_GROUPS = 6  # with five, even a sign test cannot reach 5 %: 2 / 2^5 = 6 %
_Z = 1.959964  # 97.5 % of the normal distribution lie below
_TAILS = (2.5, 97.5)  # percent


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and its 95 % interval; `low <= value <= high`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, eq=False)
class Resamples:
    """How often each draw takes each group. The same draws for every score make differences paired."""

    group_of_N: NDArray[np.intp]
    counts_DG: NDArray[np.int64]
    rows_a_video: int = 1

    @property
    def num_groups(self) -> int:
        return int(self.counts_DG.shape[1])


def resample(
    groups_N: Sequence[str],
    strata_N: Sequence[str],
    *,
    num_draws: int = NUM_DRAWS,
    seed: int = 0,
    rows_a_video: int = 1,
) -> Resamples:
    """Draw, within each stratum, as many groups as it has, with replacement.

    `rows_a_video`: more than one where each video was answered in several deals of the folds. A group is a name within
    its stratum. Raises ValueError for no videos and for lengths that differ.
    """
    if len(groups_N) != len(strata_N) or not len(groups_N):
        raise ValueError(
            f"{len(groups_N)} groups and {len(strata_N)} strata: both need one entry per video, at least 1"
        )
    pairs = list(zip(map(str, strata_N), map(str, groups_N), strict=True))
    names = sorted(set(pairs))
    place = {name: g for g, name in enumerate(names)}
    rng = np.random.default_rng(seed)
    parts = []
    for stratum in sorted({stratum for stratum, _ in names}):
        size = sum(name[0] == stratum for name in names)
        parts.append(rng.multinomial(size, np.full(size, 1 / size), num_draws))
    return Resamples(np.array([place[pair] for pair in pairs]), np.concatenate(parts, axis=1), rows_a_video)


def mean_interval(values_N: ArrayLike, resamples: Resamples) -> Interval:
    """The mean over videos; a draw's mean weighs each group by its videos."""
    values = np.asarray(values_N, dtype=np.float64)
    sums_G = np.bincount(resamples.group_of_N, values, minlength=resamples.num_groups)
    sizes_G = np.bincount(resamples.group_of_N, minlength=resamples.num_groups)
    draws_D = (resamples.counts_DG @ sums_G) / (resamples.counts_DG @ sizes_G)
    return _interval(float(values.mean()), draws_D)


def class_mean_interval(correct_N: ArrayLike, labels_N: NDArray[np.integer], resamples: Resamples) -> Interval:
    """Mean class accuracy: the plain mean of the accuracies of the classes present (in a draw: present in it)."""
    correct = np.asarray(correct_N, dtype=np.float64)
    accuracies_CD, values_C = [], []
    for label in np.unique(labels_N):
        members = labels_N == label
        of_members = resamples.group_of_N[members]
        sums_G = np.bincount(of_members, correct[members], minlength=resamples.num_groups)
        sizes_G = np.bincount(of_members, minlength=resamples.num_groups)
        drawn_D = resamples.counts_DG @ sizes_G
        accuracies_CD.append(np.where(drawn_D > 0, (resamples.counts_DG @ sums_G) / np.maximum(drawn_D, 1), np.nan))
        values_C.append(correct[members].mean())
    return _interval(float(np.mean(values_C)), np.nanmean(accuracies_CD, axis=0))


def accuracy_interval(right_N: ArrayLike, resamples: Resamples) -> Interval:
    """Top-1, the interval widened to Wilson's where that reaches further. `right_N`: of each row whether it is told
    right, or in which share of several deals. A video counts once, whatever its rows.

    Few groups, or all videos right, make the bootstrap too sure: of a set without errors it says [1, 1].
    """
    right = np.asarray(right_N, dtype=np.float64)
    drawn = mean_interval(right, resamples)
    num_videos = len(right) // resamples.rows_a_video
    low, high = wilson(min(float(right.sum()) / resamples.rows_a_video, num_videos), num_videos)
    return Interval(drawn.value, min(drawn.low, low), max(drawn.high, high))


def wilson(correct: float, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share, for independent videos (Wilson, JASA 1927).

    `correct` is no whole number where each video counts by the share of deals in which it is right.
    """
    if not 0 <= correct <= total or total == 0:
        raise ValueError(f"{correct} of {total} is no share; give 0 <= correct <= total, total above 0")
    share = correct / total
    shrink = 1 + _Z**2 / total
    middle = (share + _Z**2 / (2 * total)) / shrink
    half = _Z * math.sqrt(share * (1 - share) / total + _Z**2 / (4 * total**2)) / shrink
    return min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share)


def verdict(difference: Interval, num_groups: int) -> str:
    """`above`, `below` or `not resolved`: what a paired difference allows to say at 95 %.

    Fewer groups than LEAST_GROUPS resolve nothing.
    """
    if num_groups >= LEAST_GROUPS and difference.low > 0:
        return "above"
    if num_groups >= LEAST_GROUPS and difference.high < 0:
        return "below"
    return "not resolved"


def calibration_error(log_probs_NC: NDArray[np.floating], labels_N: NDArray[np.integer]) -> float:
    """Expected calibration error: |accuracy - confidence| over bins of equal width, weighted by their videos.

    `log_probs_NC` are normalised. Guo et al., ICML 2017, Eq. 3.
    """
    confidence_N = np.exp(log_probs_NC.max(axis=1)).clip(0, 1)
    correct_N = log_probs_NC.argmax(axis=1) == labels_N
    bins_N = np.minimum((confidence_N * NUM_BINS).astype(int), NUM_BINS - 1)
    gaps_B = np.bincount(bins_N, correct_N - confidence_N, minlength=NUM_BINS)
    return float(np.abs(gaps_B).sum() / len(labels_N))


def confusion_matrix(
    labels_N: NDArray[np.integer], predicted_N: NDArray[np.integer], num_classes: int
) -> NDArray[np.int64]:
    """counts_CC: row, what it is; column, what was said."""
    counts = np.bincount(labels_N * num_classes + predicted_N, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype(np.int64)


def _interval(value: float, draws_D: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(draws_D, _TAILS).tolist()
    return Interval(value, min(low, value), max(high, value))
