"""Do exits pay? The exit rules against leaving at random at equal mean cost, out of fold and on other videos.

Knows no network and no bundle: it works on observations. *Random exit* is the straight line between fixed depths: a
share of the videos, whichever, stops a step sooner than the rest (Figure 6 of AdaFocusV3 has it as its baseline).

Shape suffixes: N videos, K steps, B budgets, R repeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from models.exit_rules import ExitRule
from models.thresholds import exit_steps
from training.judge import statistics
from training.judge.calibrate import calibrate
from training.judge.crossfit import NUM_FOLDS, NUM_REPEATS, assign_folds
from training.judge.observations import Observations
from training.judge.statistics import Interval, Resamples, resample

RULES: tuple[ExitRule, ...] = get_args(ExitRule)
COMPARISONS = "exits.json"


@dataclass(frozen=True, slots=True)
class RulePoint:
    """One rule at one budget. Accuracies are top-1; differences are paired by video, intervals over groups."""

    rule: ExitRule
    asked_gflops: float
    mean_gflops: float
    top1: Interval
    random_top1: float
    """Of leaving at random at the same mean cost."""
    minus_random: Interval
    minus_entropy: Interval
    """Less plain Eq. 7 at the same budget asked for; its mean cost may be another."""
    verdict: str
    """Of `minus_random`."""


@dataclass(frozen=True, slots=True)
class ExitComparison:
    """`how` says which videos thresholds were solved on, and which they were spent on."""

    name: str
    how: str
    videos: int
    groups: int
    points: tuple[RulePoint, ...]

    def at(self, rule: ExitRule) -> tuple[RulePoint, ...]:
        return tuple(point for point in self.points if point.rule == rule)


_ERRORS_PER_HALF = 1.96  # standard errors in half a 95 % interval
_FILE = TypeAdapter(tuple[ExitComparison, ...])


def cross_fitted(
    seen: Observations, *, name: str, num_folds: int = NUM_FOLDS, num_repeats: int = NUM_REPEATS, seed: int = 0
) -> ExitComparison:
    """Every video is spent on once a repeat, with temperatures, offsets and thresholds solved on other groups."""
    steps = {rule: _cross_fitted_steps(seen, rule, num_folds, num_repeats, seed) for rule in RULES}
    how = f"solved on the groups of {num_folds - 1} folds, spent on those of the other; {num_repeats} deals"
    return _compared(seen, steps, name, how)


def default_budget_flops(
    seen: Observations, *, num_folds: int = NUM_FOLDS, num_repeats: int = NUM_REPEATS, seed: int = 0
) -> int:
    """The budget of a request that names none: the least whose accuracy is within one standard error of the best's.

    Both out of fold, the error that of their difference, paired, over groups (the rule by which Breiman et al. prune
    trees, 1984). What a budget gives where it was solved is too good to choose by, and a fixed allowance in its place
    chooses by luck. Raises ValueError for too few groups or videos.
    """
    right_BN = _right(seen, _cross_fitted_steps(seen, "entropy_by_label", num_folds, num_repeats, seed))
    resamples = resample(seen.groups_N, seen.sources_N)
    best_N = right_BN[int(right_BN.mean(axis=1).argmax())]
    for budget, right_N in zip(_budgets(seen, len(right_BN)), right_BN, strict=True):
        behind = statistics.mean_interval(best_N - right_N, resamples)
        if behind.value <= (behind.high - behind.low) / (2 * _ERRORS_PER_HALF):
            return budget
    raise AssertionError("the best budget is within an error of itself")


def _cross_fitted_steps(
    seen: Observations, rule: ExitRule, num_folds: int, num_repeats: int, seed: int
) -> NDArray[np.intp]:
    """steps_RBN: where each video stops at each budget, by thresholds that other groups gave."""
    deals = []
    for repeat in range(num_repeats):
        fold_N = assign_folds(seen.groups_N, seen.sources_N, num_folds, seed * 1000 + repeat)
        parts = [solved_steps(seen, fold_N != fold, seen, fold_N == fold, rule) for fold in range(num_folds)]
        steps_BN = np.zeros((len(parts[0]), seen.num_videos), dtype=np.intp)
        for fold, part_BN in enumerate(parts):
            steps_BN[:, fold_N == fold] = part_BN
        deals.append(steps_BN)
    return np.array(deals)


def on_other_videos(solved_on: Observations, seen: Observations, *, name: str) -> ExitComparison:
    """Thresholds from all of `solved_on`, spent on `seen`. Raises ValueError where they are of different models."""
    if (solved_on.step_flops_K, solved_on.classes_C) != (seen.step_flops_K, seen.classes_C):
        raise ValueError(f"{solved_on.model} and {seen.model} differ in prices or labels; observe one model twice")
    all_N, every_N = np.ones(solved_on.num_videos, bool), np.ones(seen.num_videos, bool)
    steps = {rule: solved_steps(solved_on, all_N, seen, every_N, rule)[None] for rule in RULES}
    how = f"solved on {solved_on.num_videos} videos ({solved_on.split}), spent on {seen.num_videos} ({seen.split})"
    return _compared(seen, steps, name, how)


def solved_steps(
    solved_on: Observations,
    rows_N: NDArray[np.bool_],
    spent_on: Observations,
    fresh_N: NDArray[np.bool_],
    rule: ExitRule,
) -> NDArray[np.intp]:
    """steps_BN at which the fresh videos stop at each budget of a grid solved on the rows."""
    solved = calibrate(
        solved_on.log_probs_NKC[rows_N],
        solved_on.labels_N[rows_N],
        solved_on.step_flops_K,
        data="comparison",
        exit_rule=rule,
    )
    top_NK = spent_on.top_label_NK[fresh_N]
    held_NK = solved.held_against_thresholds(spent_on.entropies(solved.temperatures_K)[fresh_N], top_NK)
    return np.array([exit_steps(held_NK, point.solution.thresholds_nats) for point in solved.grid.points])


def random_exit(seen: Observations, mean_flops: float) -> NDArray[np.float64]:
    """Of each video, how likely it is answered rightly where exits at this mean cost are drawn at random. Shape N."""
    spent_K = seen.spent_K.astype(np.float64)
    last = len(spent_K) - 1
    if last == 0:
        return seen.correct_NK[:, 0].astype(np.float64)
    k = int(np.clip(np.searchsorted(spent_K, mean_flops, side="right") - 1, 0, last - 1))
    share = float(np.clip((mean_flops - spent_K[k]) / (spent_K[k + 1] - spent_K[k]), 0.0, 1.0))
    mixed_N: NDArray[np.float64] = (1 - share) * seen.correct_NK[:, k] + share * seen.correct_NK[:, k + 1]
    return mixed_N


def _compared(
    seen: Observations, steps_by_rule: dict[ExitRule, NDArray[np.intp]], name: str, how: str
) -> ExitComparison:
    """`steps_by_rule[rule]` has shape (R, B, N)."""
    resamples = resample(seen.groups_N, seen.sources_N)
    spent_K = seen.spent_K
    plain_BN = _right(seen, steps_by_rule["entropy"])
    points = []
    for rule, steps_RBN in steps_by_rule.items():
        right_BN = _right(seen, steps_RBN)
        for b, budget in enumerate(_budgets(seen, len(right_BN))):
            costs_R = spent_K[steps_RBN[:, b]].mean(axis=1).tolist()
            by_chance_N = np.mean([random_exit(seen, cost) for cost in costs_R], axis=0)
            gain = _mean(right_BN[b] - by_chance_N, resamples)
            points.append(
                RulePoint(
                    rule=rule,
                    asked_gflops=budget / 1e9,
                    mean_gflops=float(spent_K[steps_RBN[:, b]].mean()) / 1e9,
                    top1=_mean(right_BN[b], resamples),
                    random_top1=float(by_chance_N.mean()),
                    minus_random=gain,
                    minus_entropy=_mean(right_BN[b] - plain_BN[b], resamples),
                    verdict=statistics.verdict(gain, resamples.num_groups),
                )
            )
    return ExitComparison(name, how, seen.num_videos, resamples.num_groups, tuple(points))


def _budgets(seen: Observations, count: int) -> list[int]:
    """Those of the grid that `calibrate` solves."""
    least, full = int(seen.spent_K[0]), int(seen.spent_K[-1])
    return sorted({least + (full - least) * i // max(count - 1, 1) for i in range(count)})


def _right(seen: Observations, steps_RBN: NDArray[np.intp]) -> NDArray[np.float64]:
    """right_BN: over the repeats, how often each video was answered rightly."""
    rows = np.arange(seen.num_videos)
    return np.array([seen.correct_NK[rows, steps].mean(axis=0) for steps in steps_RBN.swapaxes(0, 1)], np.float64)


def _mean(values_N: NDArray[np.float64], resamples: Resamples) -> Interval:
    return statistics.mean_interval(values_N, resamples)


def write_comparisons(path: Path, comparisons: Sequence[ExitComparison]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_FILE.dump_json(tuple(comparisons), indent=1) + b"\n")


def read_comparisons(path: Path) -> tuple[ExitComparison, ...]:
    """Raises ValueError for a file that holds none."""
    try:
        return _FILE.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ValueError(f"{path} holds no comparison of exits ({error}); `fovea compare-exits` writes one") from error
