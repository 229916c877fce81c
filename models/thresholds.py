"""When to stop: entropy thresholds (AdaFocusV3, Eq. 7), the exit rule they belong to, and what they cost on average.

Knows no torch, no network and no request; `models.threshold_solver` finds the thresholds.

Shape suffixes: N calibration videos, K steps (step 0: the glance or a part of it), C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Entropies lie in [0, ln C]. Two finite numbers outside that range, so that thresholds survive JSON.
NEVER_NATS = -1.0  # no video exits here
ALWAYS_NATS = 100.0  # every video exits here: ln C = 100 would take e^100 labels


def log_softmax(logits_C: ArrayLike) -> NDArray[np.float64]:
    """Log-probabilities over the last axis; finite for every finite input, however saturated."""
    logits = np.asarray(logits_C, dtype=np.float64)
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_sum: NDArray[np.float64] = np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    log_probs: NDArray[np.float64] = shifted - log_sum
    return log_probs


def entropy_nats(logits_C: ArrayLike) -> NDArray[np.float64]:
    """Entropy of softmax(logits) over the last axis, in nats, in [0, ln C] up to rounding.

    p log p is taken from log-probabilities, never as log of a probability that may have underflowed: 0 * -inf is NaN,
    NaN <= eta is false, and the surest videos would never exit.
    """
    log_probs = log_softmax(logits_C)
    entropy: NDArray[np.float64] = -(np.exp(log_probs) * log_probs).sum(axis=-1)
    return np.maximum(entropy, 0.0)


def exit_steps(entropy_NK: NDArray[np.float32], thresholds_nats: Sequence[float]) -> NDArray[np.intp]:
    """The step at which each video stops: the first k with entropy_k <= eta_k, else the last step. Shape N."""
    assert entropy_NK.shape[1] == len(thresholds_nats) + 1, "one threshold per step but the last"
    stops_NK = np.ones(entropy_NK.shape, dtype=bool)
    stops_NK[:, :-1] = entropy_NK[:, :-1] <= np.asarray(thresholds_nats, dtype=np.float64)
    steps_N: NDArray[np.intp] = stops_NK.argmax(axis=1)
    return steps_N


@dataclass(frozen=True, slots=True)
class Solution:
    """Thresholds, and what they gave on the calibration set.

    `thresholds_nats`: one per step but the last. `accuracy` is in [0, 1].
    """

    thresholds_nats: tuple[float, ...]
    mean_cost_flops: float
    accuracy: float


def evaluate(
    entropy_NK: NDArray[np.float32],
    correct_NK: NDArray[np.bool_],
    step_flops: Sequence[int],
    thresholds_nats: Sequence[float],
) -> Solution:
    """What the thresholds give on these videos. `step_flops[k]` is the price of step k alone."""
    steps_N = exit_steps(entropy_NK, thresholds_nats)
    spent_K = np.cumsum(np.asarray(step_flops, dtype=np.int64))
    num_videos = len(steps_N)
    correct = int(correct_NK[np.arange(num_videos), steps_N].sum())
    # Summed as integers: a mean that must not pass a budget has no room for rounding.
    return Solution(tuple(thresholds_nats), int(spent_K[steps_N].sum()) / num_videos, correct / num_videos)


@dataclass(frozen=True, slots=True)
class GridPoint:
    """A budget B of Eq. 7 and the thresholds solved for it: `solution.mean_cost_flops <= budget_flops`."""

    budget_flops: int
    solution: Solution


@dataclass(frozen=True, slots=True)
class BudgetGrid:
    """Solved budgets in rising order, from the price of a glance to the full cost."""

    points: tuple[GridPoint, ...]

    def __post_init__(self) -> None:
        budgets = [point.budget_flops for point in self.points]
        assert budgets, "a grid holds at least one budget"
        assert budgets == sorted(set(budgets)), "budgets rise"

    @property
    def least_flops(self) -> int:
        return self.points[0].budget_flops

    @property
    def full_flops(self) -> int:
        return self.points[-1].budget_flops

    def at(self, budget_flops: float) -> Solution:
        """The solution of the greatest grid budget <= `budget_flops`, so that the mean cost keeps to it.

        Raises ValueError below the price of a glance, and for NaN.
        """
        if not budget_flops >= self.least_flops:
            raise ValueError(
                f"budget of {budget_flops:g} FLOPs is below the {self.least_flops} FLOPs of the cheapest answer; "
                "ask for at least that"
            )
        return next(point.solution for point in reversed(self.points) if point.budget_flops <= budget_flops)
