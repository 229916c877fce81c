"""A calibration set as the threshold search sees it: entropies as ranks, one threshold moved at a time.

Knows neither budget nor price: who searches (`models.threshold_solver`) says which cut to take.

A threshold is a `level` here: of the U distinct entropies of a step, the lowest `level` exit. So equal entropies exit
together, 0 is never, U is always, and everything is integer arithmetic.

What an answer is worth is whole, too: 1 for a right one, or smoothed correctness in units of 1 / WORTH_UNIT.

Shape suffixes: N calibration videos, K steps, R videos that reach a step (in order of entropy), P ways to cut these.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.thresholds import ALWAYS_NATS, NEVER_NATS

Ints: TypeAlias = NDArray[np.int64]
Choose: TypeAlias = Callable[[Ints, Ints], int | None]
"""(worth_P, cost_P) of the whole set for every cut, costs falling -> the cut to take, None to leave it as it is."""

WORTH_UNIT = 1_000_000
_MAX_ROUNDS = 12  # of coordinate search; it settles in 2-5


@dataclass(frozen=True, slots=True)
class Scored:
    """A point of the search: worth and cost, both summed over the calibration set."""

    levels: Ints  # shape K - 1
    worth: int
    step_flops: int

    def beats(self, other: "Scored") -> bool:
        return (self.worth, -self.step_flops) > (other.worth, -other.step_flops)


@dataclass(frozen=True, slots=True)
class Cuts:
    """Every value one threshold can take, the others fixed; the set's totals under each."""

    levels_P: Ints
    worth_P: Ints
    cost_P: Ints  # falls strictly


class RankedVideos:
    """The calibration set with entropies as ranks, so that the search is integer arithmetic."""

    def __init__(
        self,
        entropy_NK: NDArray[np.float32],
        correct_NK: NDArray[np.bool_],
        step_flops: Sequence[int],
        worth_NK: NDArray[np.float64] | None = None,
    ) -> None:
        """`worth_NK` in [0, 1] is what answers count as in the search; None: a right one 1, a wrong one 0."""
        expected = (len(entropy_NK), len(step_flops))
        if entropy_NK.shape != expected or correct_NK.shape != expected or 0 in expected:
            raise ValueError(
                f"entropies of shape {entropy_NK.shape} and correctness of shape {correct_NK.shape} do not fit "
                f"{len(step_flops)} prices: both need one row per video (at least one), one column per step"
            )
        if entropy_NK.dtype != np.float32 or not ((entropy_NK > NEVER_NATS) & (entropy_NK < ALWAYS_NATS)).all():
            raise ValueError(f"entropies less their offsets must be float32 between {NEVER_NATS} and {ALWAYS_NATS}")
        if min(step_flops) <= 0:
            raise ValueError(f"prices {tuple(step_flops)} must all be above 0: they are multiply-adds of real work")
        self.num, self.num_steps = expected
        self.unit = 1 if worth_NK is None else WORTH_UNIT
        worth = correct_NK if worth_NK is None else np.rint(worth_NK * WORTH_UNIT)
        self.worth_NK: Ints = worth.astype(np.int64)
        self.spent_K = np.cumsum(np.asarray(step_flops, dtype=np.int64))
        ranked = [np.unique(entropy_NK[:, k], return_inverse=True) for k in range(self.num_steps - 1)]
        self._values = [values for values, _ in ranked]
        self.ranks = [ranks for _, ranks in ranked]
        self.orders = [np.argsort(ranks, kind="stable") for ranks in self.ranks]
        self.always: Ints = np.array([len(values) for values in self._values], dtype=np.int64)

    def score(self, levels: Ints) -> Scored:
        steps_N = np.full(self.num, self.num_steps - 1)
        for k in reversed(range(self.num_steps - 1)):
            steps_N[self.ranks[k] < levels[k]] = k
        worth = self.worth_NK[np.arange(self.num), steps_N].sum()
        return Scored(levels, int(worth), int(self.spent_K[steps_N].sum()))

    def thresholds_nats(self, levels: Ints) -> tuple[float, ...]:
        """Half-way between the last entropy that exits and the next: rounding elsewhere then moves nobody."""
        thresholds = []
        for values, level in zip(self._values, levels.tolist(), strict=True):
            if level in (0, len(values)):
                thresholds.append(NEVER_NATS if level == 0 else ALWAYS_NATS)
            else:
                thresholds.append((float(values[level - 1]) + float(values[level])) / 2)
        return tuple(thresholds)

    def rounds(self, levels: Ints, choose: Choose) -> Ints:
        """Coordinate search until nothing moves: each round chooses every threshold anew, the last one first."""
        for _ in range(_MAX_ROUNDS):
            before, levels = levels, levels.copy()
            reached_KN, gone = self.arrivals(levels)
            later = Later(self.worth_NK[:, -1].copy(), np.full(self.num, self.spent_K[-1]))
            for k in reversed(range(self.num_steps - 1)):
                cuts = self.cuts(k, reached_KN[k], gone[k], later)
                chosen = choose(cuts.worth_P, cuts.cost_P)
                if chosen is not None and len(cuts.levels_P) > 1:
                    levels[k] = cuts.levels_P[chosen]
                later.stop(self, k, self.ranks[k] < levels[k])
            if (levels == before).all():
                break
        return levels

    def arrivals(self, levels: Ints) -> tuple[NDArray[np.bool_], list[tuple[int, int]]]:
        """Who reaches step k, and (worth, cost) of those gone before it."""
        reached_KN = np.ones((self.num_steps, self.num), dtype=bool)
        gone = [(0, 0)]
        for k in range(self.num_steps - 1):
            stops_N = reached_KN[k] & (self.ranks[k] < levels[k])
            reached_KN[k + 1] = reached_KN[k] & ~stops_N
            worth, cost = gone[k]
            gone.append(
                (worth + int(self.worth_NK[stops_N, k].sum()), cost + int(stops_N.sum()) * int(self.spent_K[k]))
            )
        return reached_KN, gone

    def cuts(self, k: int, reached_N: NDArray[np.bool_], gone: tuple[int, int], later: "Later") -> Cuts:
        order_R = self.orders[k][reached_N[self.orders[k]]]
        ranks_R = self.ranks[k][order_R]
        stay_worth_R, stay_spent_R = later.worth_N[order_R], later.spent_N[order_R]
        # ends_P: a cut may only lie where the entropy changes. totals: with the first `end` of these stopping at k.
        ends_P = np.flatnonzero(np.diff(ranks_R, prepend=-1, append=self.num))
        gain = np.concatenate([[0], np.cumsum(self.worth_NK[order_R, k] - stay_worth_R)])
        saved = np.concatenate([[0], np.cumsum(stay_spent_R - self.spent_K[k])])
        levels_P = np.concatenate([[0], ranks_R + 1])[ends_P]
        levels_P[-1] = self.always[k] if len(order_R) else levels_P[-1]
        return Cuts(
            levels_P,
            gone[0] + int(stay_worth_R.sum()) + gain[ends_P],
            gone[1] + int(stay_spent_R.sum()) - saved[ends_P],
        )


@dataclass(slots=True)
class Later:
    """What each video gets, and has spent in all, if it does not stop before the step being looked at."""

    worth_N: Ints
    spent_N: Ints

    def stop(self, videos: RankedVideos, k: int, stops_N: NDArray[np.bool_]) -> None:
        self.worth_N[stops_N] = videos.worth_NK[stops_N, k]
        self.spent_N[stops_N] = videos.spent_K[k]
