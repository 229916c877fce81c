"""Which exit rule a bundle is served by, chosen by folds over groups; and its default budget, by the same folds.

Plain Eq. 7 (`entropy`) and thresholds by label are held against each other out of fold. The one that is ahead by more
than one standard error is taken; where none is, the one whose default budget is less, and Eq. 7 where that is the same
(decision 0091). Knows no network and no bundle.

Shape suffixes: N videos, B budgets.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.exit_rules import ExitRule
from training.judge.crossfit import NUM_FOLDS, NUM_REPEATS
from training.judge.exit_steps import budgets, by_chance, cross_fitted_steps, rightness
from training.judge.observations import Observations
from training.judge.statistics import Interval, Resamples, mean_interval, resample

_ERRORS_PER_HALF = 1.96  # standard errors in half a 95 % interval


MOST_BEHIND = 0.02  # of all videos: what a default may give up against the best budget


@dataclass(frozen=True, slots=True)
class RuleChoice:
    rule: ExitRule
    by_label_less_entropy: Interval | None
    """Top-1 less random exit at equal mean cost, of thresholds by label less that of Eq. 7; mean over the budgets
    between a glance and everything, 95 % over groups. None where there are too few groups or videos to tell."""

    @property
    def told(self) -> str:
        """For the bundle."""
        if self.by_label_less_entropy is None:
            return "not compared: too few groups to choose by folds"
        value, low, high = (
            100 * number
            for number in (
                self.by_label_less_entropy.value,
                self.by_label_less_entropy.low,
                self.by_label_less_entropy.high,
            )
        )
        told = (
            f"chosen by folds over groups: thresholds by label less Eq. 7 {value:+.1f} points [{low:.1f}, {high:.1f}], "
            "mean over the budgets, each less random exit at equal mean cost"
        )
        if self.is_level:
            told += "; level, so that the default budgets decide"
        return told

    @property
    def is_level(self) -> bool:
        """Whether neither is ahead by more than one standard error."""
        apart = self.by_label_less_entropy
        return apart is not None and abs(apart.value) <= standard_error(apart)


def choose_exit_rule(
    seen: Observations, *, num_folds: int = NUM_FOLDS, num_repeats: int = NUM_REPEATS, seed: int = 0
) -> RuleChoice:
    """Of videos that the model was not trained on."""
    if len(seen.step_flops_K) == 1:
        return RuleChoice("entropy", None)
    try:
        steps = {
            rule: cross_fitted_steps(seen, rule, min(num_folds, num_groups(seen)), num_repeats, seed)
            for rule in ("entropy", "entropy_by_label")
        }
    except ValueError:  # too few groups, or too few videos in what a fold leaves
        return RuleChoice("entropy", None)
    right_BN = {rule: rightness(seen, found) for rule, found in steps.items()}
    gains_BN = {rule: right_BN[rule] - by_chance(seen, found) for rule, found in steps.items()}
    apart_N = (gains_BN["entropy_by_label"] - gains_BN["entropy"])[1:-1].mean(axis=0)
    resamples = resample(seen.groups_N, seen.sources_N)
    apart = mean_interval(apart_N, resamples)
    ahead = RuleChoice("entropy_by_label" if apart.value > 0 else "entropy", apart)
    if not ahead.is_level:
        return ahead
    default_flops = {rule: _least_near_the_best(seen, found_BN, resamples) for rule, found_BN in right_BN.items()}
    is_less = default_flops["entropy_by_label"] < default_flops["entropy"]
    return RuleChoice("entropy_by_label" if is_less else "entropy", apart)


def default_budget_flops(
    seen: Observations,
    rule: ExitRule,
    *,
    num_folds: int = NUM_FOLDS,
    num_repeats: int = NUM_REPEATS,
    seed: int = 0,
) -> int:
    """The budget of a request that names none: the least whose accuracy is within one standard error of the best's, or
    within MOST_BEHIND where that is more.

    Both out of fold, the error that of their difference, paired, over groups (the rule by which Breiman et al. prune
    trees, 1984). Near the full cost budgets differ in a few videos: their difference is small and sure, and the error
    alone would buy the last half point for a third more compute. What a budget gives where it was solved is too good to
    choose by. Raises ValueError for too few groups or videos.
    """
    right_BN = rightness(seen, cross_fitted_steps(seen, rule, num_folds, num_repeats, seed))
    return _least_near_the_best(seen, right_BN, resample(seen.groups_N, seen.sources_N))


def _least_near_the_best(seen: Observations, right_BN: NDArray[np.float64], resamples: Resamples) -> int:
    best_N = right_BN[int(right_BN.mean(axis=1).argmax())]
    for budget, right_N in zip(budgets(seen, len(right_BN)), right_BN, strict=True):
        behind = mean_interval(best_N - right_N, resamples)
        if behind.value <= max(standard_error(behind), MOST_BEHIND):
            return budget
    raise AssertionError("the best budget is within an error of itself")


def num_groups(seen: Observations) -> int:
    return len(set(zip(seen.sources_N, seen.groups_N, strict=True)))


def standard_error(interval: Interval) -> float:
    return (interval.high - interval.low) / (2 * _ERRORS_PER_HALF)
