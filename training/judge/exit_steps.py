"""Where videos stop by thresholds that other videos gave, and what leaving at random gives at the same cost.

Knows no network, no bundle and no statistics: it works on observations.

Shape suffixes: N videos, K steps, B budgets, R repeats.
"""

import numpy as np
from numpy.typing import NDArray

from models.exit_rules import ExitRule
from models.thresholds import exit_steps
from training.judge.calibrate import calibrate
from training.judge.crossfit import assign_folds
from training.judge.observations import Observations


def cross_fitted_steps(
    seen: Observations, rule: ExitRule, num_folds: int, num_repeats: int, seed: int
) -> NDArray[np.intp]:
    """steps_RBN: where each video stops at each budget, by thresholds that other groups gave."""
    deals = []
    for repeat in range(num_repeats):
        fold_N = assign_folds(seen.groups_N, seen.sources_N, num_folds, seed * 1000 + repeat)
        parts = [solved_steps(seen, fold_N != fold, seen, fold_N == fold, rule) for fold in range(num_folds)]
        steps_BN = np.zeros((len(parts[0]), seen.num_rows), dtype=np.intp)
        for fold, part_BN in enumerate(parts):
            steps_BN[:, fold_N == fold] = part_BN
        deals.append(steps_BN)
    return np.array(deals)


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
        num_deals=solved_on.num_deals,
    )
    top_NK = spent_on.top_label_NK[fresh_N]
    held_NK = solved.held_against_thresholds(spent_on.entropies(solved.temperatures_K)[fresh_N], top_NK)
    return np.array([exit_steps(held_NK, point.solution.thresholds_nats) for point in solved.grid.points])


def random_exit(seen: Observations, mean_flops: float) -> NDArray[np.float64]:
    """Of each video, how likely it is answered rightly where exits at this mean cost are drawn at random. Shape N.

    The straight line between fixed depths: a share of the videos, whichever, stops a step sooner than the rest
    (Figure 6 of AdaFocusV3 has it as its baseline).
    """
    spent_K = seen.spent_K.astype(np.float64)
    last = len(spent_K) - 1
    if last == 0:
        return seen.correct_NK[:, 0].astype(np.float64)
    k = int(np.clip(np.searchsorted(spent_K, mean_flops, side="right") - 1, 0, last - 1))
    share = float(np.clip((mean_flops - spent_K[k]) / (spent_K[k + 1] - spent_K[k]), 0.0, 1.0))
    mixed_N: NDArray[np.float64] = (1 - share) * seen.correct_NK[:, k] + share * seen.correct_NK[:, k + 1]
    return mixed_N


def rightness(seen: Observations, steps_RBN: NDArray[np.intp]) -> NDArray[np.float64]:
    """right_BN: over the repeats, how often each video was answered rightly."""
    rows = np.arange(seen.num_rows)
    return np.array([seen.correct_NK[rows, steps].mean(axis=0) for steps in steps_RBN.swapaxes(0, 1)], np.float64)


def by_chance(seen: Observations, steps_RBN: NDArray[np.intp]) -> NDArray[np.float64]:
    """chance_BN: the same of leaving at random at the mean cost of each repeat."""
    costs_BR = seen.spent_K[steps_RBN].mean(axis=2).T
    return np.array([np.mean([random_exit(seen, cost) for cost in costs_R], axis=0) for costs_R in costs_BR.tolist()])


def budgets(seen: Observations, count: int) -> list[int]:
    """Those of the grid that `calibrate` solves."""
    least, full = int(seen.spent_K[0]), int(seen.spent_K[-1])
    return sorted({least + (full - least) * i // max(count - 1, 1) for i in range(count)})
