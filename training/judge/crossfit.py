"""Do budgets hold on videos that the thresholds were not solved on? Solve on some groups, spend on the others.

Knows no network: it works on observations. Temperatures are fitted on the solving part too, as in `calibrate`.

Shape suffixes: N videos, K steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.exit_rules import ExitRule
from models.threshold_solver import NUM_BUDGETS, geometric
from models.thresholds import evaluate
from training.judge.calibrate import calibrate
from training.judge.observations import Observations

TOLERANCE = 1.05  # realised <= 1.05 B counts as kept
NUM_FOLDS = 5
NUM_REPEATS = 4


@dataclass(frozen=True, slots=True)
class Trial:
    """One (split, B) pair. "solved": on the videos the thresholds were solved on; "fresh": on the others."""

    repeat: int
    fold: int
    num_fresh: int
    budget_flops: int
    solved_flops: float
    fresh_flops: float
    solved_accuracy: float
    fresh_accuracy: float
    geometric_solved_accuracy: float
    geometric_fresh_flops: float
    geometric_fresh_accuracy: float


@dataclass(frozen=True, slots=True)
class BudgetCheck:
    """What the trials come to. Shares and errors are of budgets; accuracy gains are of the search over the family."""

    num_trials: int
    share_kept: float
    """Trials with realised <= 1.05 B on fresh videos."""
    share_kept_over_all: float
    """The same with the folds of a repeat taken together: every video once, with thresholds solved without it."""
    median_overspend: float
    """realised / B - 1 on fresh videos: below 0 where a budget is not used up."""
    worst_overspend: float
    typical_error: float
    """Median of |realised on fresh videos / realised where solved - 1|."""
    share_not_below_geometric: float
    """Trials in which, where solved, the search is at least as accurate as the geometric family of plain Eq. 7. Not
    promised: the search maximises smoothed correctness, and the full cost buys all steps."""
    mean_gain_solved: float
    mean_gain_fresh: float
    mean_cost_ratio_fresh: float
    """The search's mean cost over the family's on fresh videos, at equal budgets."""


def assign_folds(groups_N: Sequence[str], strata_N: Sequence[str], num_folds: int, seed: int) -> NDArray[np.int64]:
    """A fold per video: a group lies whole in one fold, and every stratum's groups are dealt out evenly.

    Raises ValueError for fewer groups than folds.
    """
    pairs = list(zip(map(str, strata_N), map(str, groups_N), strict=True))
    names = sorted(set(pairs))
    if not 2 <= num_folds <= len(names):
        raise ValueError(f"{len(names)} groups cannot be dealt into {num_folds} folds; take 2 to {len(names)} of them")
    rng = np.random.default_rng(seed)
    dealt = []
    for stratum in sorted({stratum for stratum, _ in names}):
        members = [name for name in names if name[0] == stratum]
        dealt += [members[place] for place in rng.permutation(len(members))]
    fold_of = {name: place % num_folds for place, name in enumerate(dealt)}
    return np.array([fold_of[pair] for pair in pairs], dtype=np.int64)


def cross_fit(
    observations: Observations,
    *,
    num_folds: int = NUM_FOLDS,
    num_repeats: int = NUM_REPEATS,
    seed: int = 0,
    exit_rule: ExitRule = "entropy_by_label",
) -> list[Trial]:
    """Every fold of every repeat is spent on once, with thresholds solved on the repeat's other folds."""
    trials = []
    for repeat in range(num_repeats):
        fold_N = assign_folds(observations.groups_N, observations.sources_N, num_folds, seed * 1000 + repeat)
        for fold in range(num_folds):
            trials += _trials(observations, repeat, fold, fold_N == fold, exit_rule)
    return trials


def _trials(seen: Observations, repeat: int, fold: int, fresh_N: NDArray[np.bool_], exit_rule: ExitRule) -> list[Trial]:
    solved = calibrate(
        seen.log_probs_NKC[~fresh_N],
        seen.labels_N[~fresh_N],
        seen.step_flops_K,
        data="cross-fit",
        num_budgets=NUM_BUDGETS,
        exit_rule=exit_rule,
        num_deals=seen.num_deals,
    )
    top_NK = seen.top_label_NK[fresh_N]
    entropy_NK = seen.entropies(solved.temperatures_K)[fresh_N]
    held_NK = solved.held_against_thresholds(entropy_NK, top_NK)
    correct_NK = seen.correct_NK[fresh_N]
    trials = []
    for point in solved.grid.points:
        fresh = evaluate(held_NK, correct_NK, seen.step_flops_K, point.solution.thresholds_nats)
        family = geometric(solved.entropy_NK, solved.correct_NK, seen.step_flops_K, point.budget_flops)
        family_fresh = evaluate(entropy_NK, correct_NK, seen.step_flops_K, family.thresholds_nats)
        trials.append(
            Trial(
                repeat=repeat,
                fold=fold,
                num_fresh=int(fresh_N.sum()),
                budget_flops=point.budget_flops,
                solved_flops=point.solution.mean_cost_flops,
                fresh_flops=fresh.mean_cost_flops,
                solved_accuracy=point.solution.accuracy,
                fresh_accuracy=fresh.accuracy,
                geometric_solved_accuracy=family.accuracy,
                geometric_fresh_flops=family_fresh.mean_cost_flops,
                geometric_fresh_accuracy=family_fresh.accuracy,
            )
        )
    return trials


def summarise(trials: Sequence[Trial]) -> BudgetCheck:
    """Raises ValueError for no trials."""
    if not trials:
        raise ValueError("there are no trials to summarise; cross-fit first")
    overspend = np.array([trial.fresh_flops / trial.budget_flops - 1 for trial in trials])
    error = np.array([abs(trial.fresh_flops / trial.solved_flops - 1) for trial in trials])
    gain = np.array([trial.solved_accuracy - trial.geometric_solved_accuracy for trial in trials])
    gain_fresh = np.array([trial.fresh_accuracy - trial.geometric_fresh_accuracy for trial in trials])
    limit = TOLERANCE - 1 + 1e-12  # rounding
    weights = np.array([trial.num_fresh for trial in trials])
    rounds = np.array([(trial.repeat, trial.budget_flops) for trial in trials])
    _, round_of = np.unique(rounds, axis=0, return_inverse=True)
    over_all = np.bincount(round_of, weights * overspend) / np.bincount(round_of, weights)
    return BudgetCheck(
        num_trials=len(trials),
        share_kept=float((overspend <= limit).mean()),
        share_kept_over_all=float((over_all <= limit).mean()),
        median_overspend=float(np.median(overspend)),
        worst_overspend=float(overspend.max()),
        typical_error=float(np.median(error)),
        share_not_below_geometric=float((gain >= 0).mean()),
        mean_gain_solved=float(gain.mean()),
        mean_gain_fresh=float(np.average(gain_fresh, weights=weights)),
        mean_cost_ratio_fresh=float(
            np.average([trial.fresh_flops for trial in trials], weights=weights)
            / np.average([trial.geometric_fresh_flops for trial in trials], weights=weights)
        ),
    )
