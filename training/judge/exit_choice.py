"""Which exit rule a bundle is served by, chosen by folds over groups; and its default budget, by the same folds.

Plain Eq. 7 (`entropy`) is the simple one. Thresholds by label are taken where they are ahead of it, out of fold, by
more than one standard error (Breiman et al., 1984: the simplest that is within an error of the best). Knows no network
and no bundle.

Shape suffixes: N videos, B budgets.
"""

from dataclasses import dataclass

from models.exit_rules import ExitRule
from training.judge.crossfit import NUM_FOLDS, NUM_REPEATS
from training.judge.exit_steps import budgets, by_chance, cross_fitted_steps, rightness
from training.judge.observations import Observations
from training.judge.statistics import Interval, mean_interval, resample

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
        return (
            f"chosen by folds over groups: thresholds by label less Eq. 7 {value:+.1f} points [{low:.1f}, {high:.1f}], "
            "mean over the budgets, each less random exit at equal mean cost"
        )


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
    gains_BN = {rule: rightness(seen, found) - by_chance(seen, found) for rule, found in steps.items()}
    apart_N = (gains_BN["entropy_by_label"] - gains_BN["entropy"])[1:-1].mean(axis=0)
    apart = mean_interval(apart_N, resample(seen.groups_N, seen.sources_N))
    return RuleChoice("entropy_by_label" if apart.value > standard_error(apart) else "entropy", apart)


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
    resamples = resample(seen.groups_N, seen.sources_N)
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
