"""Do exits pay? The exit rules against leaving at random at equal mean cost, out of fold and on other videos.

*Ours* is the rule that calibration chooses (`exit_choice`): here it chooses anew without the videos that it is judged
on. Knows no network and no bundle: it works on observations.

Shape suffixes: N videos, K steps, B budgets, R repeats.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from models.exit_rules import ExitRule
from training.judge import statistics
from training.judge.crossfit import NUM_FOLDS, NUM_REPEATS, assign_folds
from training.judge.exit_choice import RuleChoice, choose_exit_rule
from training.judge.exit_steps import budgets, by_chance, cross_fitted_steps, rightness, solved_steps
from training.judge.observations import Observations
from training.judge.statistics import Interval, Resamples, resample

Judged: TypeAlias = ExitRule | Literal["chosen"]
"""A rule, or whichever of them folds over the other groups choose: ours."""
RULES: tuple[ExitRule, ...] = get_args(ExitRule)
_CHOOSING_REPEATS = 2  # of the folds within a fold
COMPARISONS = "exits.json"


@dataclass(frozen=True, slots=True)
class RulePoint:
    """One rule at one budget. Accuracies are top-1; differences are paired by video, intervals over groups."""

    rule: Judged
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
    chosen: str = ""
    """Which rule the videos that thresholds are solved on choose all together, and how; empty in older files."""
    mean_minus_random: Interval | None = None
    """Of ours: the mean over the budgets between a glance and everything, of each less random exit at its own mean
    cost. One figure in place of one a budget, each of which rests on few videos. None in older files."""

    def at(self, rule: Judged) -> tuple[RulePoint, ...]:
        return tuple(point for point in self.points if point.rule == rule)


_FILE = TypeAdapter(tuple[ExitComparison, ...])


def cross_fitted(
    seen: Observations, *, name: str, num_folds: int = NUM_FOLDS, num_repeats: int = NUM_REPEATS, seed: int = 0
) -> ExitComparison:
    """Every video is spent on once a repeat, with temperatures, offsets and thresholds solved on other groups.

    The chosen rule is chosen on those other groups, too, by folds of their own.
    """
    steps: dict[Judged, NDArray[np.intp]] = {
        rule: cross_fitted_steps(seen, rule, num_folds, num_repeats, seed) for rule in RULES
    }
    steps["chosen"] = steps["entropy"].copy()
    for repeat in range(num_repeats):
        fold_N = assign_folds(seen.groups_N, seen.sources_N, num_folds, seed * 1000 + repeat)
        for fold in range(num_folds):
            others = seen.rows(fold_N != fold)
            rule = choose_exit_rule(others, num_folds=num_folds, num_repeats=_CHOOSING_REPEATS, seed=seed).rule
            steps["chosen"][repeat][:, fold_N == fold] = steps[rule][repeat][:, fold_N == fold]
    how = f"solved on the groups of {num_folds - 1} folds, spent on those of the other; {num_repeats} deals"
    if seen.num_deals > 1:
        how += f", and {seen.num_deals} of the folds of heads"
    return _compared(seen, steps, name, how, choose_exit_rule(seen, num_folds=num_folds, seed=seed))


def on_other_videos(solved_on: Observations, seen: Observations, *, name: str) -> ExitComparison:
    """Thresholds from all of `solved_on`, spent on `seen`. Raises ValueError where they are of different models."""
    if (solved_on.step_flops_K, solved_on.classes_C) != (seen.step_flops_K, seen.classes_C):
        raise ValueError(f"{solved_on.model} and {seen.model} differ in prices or labels; observe one model twice")
    all_N, every_N = np.ones(solved_on.num_rows, bool), np.ones(seen.num_rows, bool)
    steps: dict[Judged, NDArray[np.intp]] = {
        rule: solved_steps(solved_on, all_N, seen, every_N, rule)[None] for rule in RULES
    }
    choice = choose_exit_rule(solved_on)
    steps["chosen"] = steps[choice.rule]
    how = f"solved on {solved_on.num_videos} videos ({solved_on.split}), spent on {seen.num_videos} ({seen.split})"
    return _compared(seen, steps, name, how, choice)


def _compared(
    seen: Observations,
    steps_by_rule: dict[Judged, NDArray[np.intp]],
    name: str,
    how: str,
    choice: RuleChoice,
) -> ExitComparison:
    """`steps_by_rule[rule]` has shape (R, B, N)."""
    resamples = resample(seen.groups_N, seen.sources_N, rows_a_video=seen.num_deals)
    spent_K = seen.spent_K
    plain_BN = rightness(seen, steps_by_rule["entropy"])
    points = []
    mean_gain = None
    for rule, steps_RBN in steps_by_rule.items():
        right_BN, chance_BN = rightness(seen, steps_RBN), by_chance(seen, steps_RBN)
        for b, budget in enumerate(budgets(seen, len(right_BN))):
            gain = _mean(right_BN[b] - chance_BN[b], resamples)
            points.append(
                RulePoint(
                    rule=rule,
                    asked_gflops=budget / 1e9,
                    mean_gflops=float(spent_K[steps_RBN[:, b]].mean()) / 1e9,
                    top1=statistics.accuracy_interval(right_BN[b], resamples),
                    random_top1=float(chance_BN[b].mean()),
                    minus_random=gain,
                    minus_entropy=_mean(right_BN[b] - plain_BN[b], resamples),
                    verdict=statistics.verdict(gain, resamples.num_groups),
                )
            )
        if rule == "chosen" and len(right_BN) > 2:
            mean_gain = _mean((right_BN - chance_BN)[1:-1].mean(axis=0), resamples)
    return ExitComparison(
        name, how, seen.num_videos, resamples.num_groups, tuple(points), f"{choice.rule}: {choice.told}", mean_gain
    )


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
