"""What observations give a bundle: its calibration, its default budget, and what was measured beside them.

Knows no run and no weights.

Shape suffixes: N videos, K steps (step 0: the glance or a part of it), C classes.
"""

from pathlib import Path

from models.bundle_format import Measured
from models.calibration import Calibration
from training.judge.calibrate import calibrate, majority_share, measure
from training.judge.crossfit import NUM_FOLDS
from training.judge.exit_choice import choose_exit_rule, default_budget_flops, num_groups
from training.judge.observations import Observations
from training.judge.statistics import calibration_error


def calibration_errors(seen: Observations, temperatures_K: list[float] | tuple[float, ...]) -> tuple[float, ...]:
    tempered_NKC = seen.tempered(temperatures_K)
    return tuple(calibration_error(tempered_NKC[:, k], seen.labels_N) for k in range(len(seen.step_flops_K)))


def calibrated(seen: Observations, data: str) -> Calibration:
    """By the exit rule that folds over its groups choose."""
    choice = choose_exit_rule(seen)
    return calibrate(
        seen.log_probs_NKC,
        seen.labels_N,
        seen.step_flops_K,
        data=data,
        exit_rule=choice.rule,
        majority_share=majority_share(seen.labels_N, seen.sources_N),
        exit_rule_choice=choice.told,
        num_deals=seen.num_deals,
    )


def usual_budget_flops(seen: Observations, calibration: Calibration) -> int:
    """By the rule of `exit_choice`; with too few groups for that, the middle of the span."""
    grid = calibration.grid
    if grid.least_flops == grid.full_flops:
        return grid.full_flops
    try:
        folds = min(NUM_FOLDS, num_groups(seen))
        return default_budget_flops(seen, calibration.exit_rule, num_folds=folds)
    except ValueError:
        return (grid.least_flops + grid.full_flops) // 2


def describe_videos(seen: Observations, root: Path) -> str:
    return f"{seen.num_videos} videos of {num_groups(seen)} groups of {root.resolve().stem}"


def measure_fresh(
    seen: Observations, fresh: Observations | None, calibration: Calibration, num_shared: int, root: Path
) -> Measured:
    """On the val split where there is one; `num_shared`: how many of its groups occur in training, too."""
    if fresh is None:
        data = (
            f"OPTIMISTIC: there was no val split, so the calibration videos themselves: {describe_videos(seen, root)}"
        )
        if seen.num_deals > 1:
            data += ", as the first deal answered them"
        first = seen.rows_by_deal[0]
        return measure(seen.log_probs_NKC[first], seen.labels_N[first], calibration, data=data)
    data = f"{describe_videos(fresh, root)}, its val split: used neither for training nor for calibration"
    if num_shared:
        data += f"; OPTIMISTIC: {num_shared} of its groups occur in training too"
    return measure(fresh.log_probs_NKC, fresh.labels_N, calibration, data=data)
