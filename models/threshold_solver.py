"""Solves Eq. 7 of AdaFocusV3 on a calibration set: the most accurate thresholds whose mean cost keeps to a budget.

Knows no network: a calibration set is entropies, correctness and prices.

Up to three steps the answer is exact: every pair of thresholds is looked at. Beyond, the geometric family of MSDNet and
GFNet (exit shares proportional to p^k, p bisected to meet the budget) is the warm start, and a coordinate search
improves on it: with the other thresholds fixed, one threshold is a sweep over the sorted entropies of the videos that
reach it. A tight budget leaves such a search few moves, so it also starts from the points of a Lagrangian path
(worth - price * cost, price falling), which lie just below and just above the budget.

Shape suffixes: N calibration videos, K steps, R videos that reach a step (in order of entropy), P ways to cut these.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from models.threshold_levels import Choose, Cuts, Ints, Later, RankedVideos, Scored
from models.thresholds import ALWAYS_NATS, BudgetGrid, GridPoint, Solution, evaluate

NUM_BUDGETS = 16  # a request between two grid points leaves at most 1/15 of the span unused
_EXACT_STEPS = 3
_NUM_PRICES = 32  # points of the Lagrangian path
_NUM_BISECTIONS = 24
_LOG_P_RANGE = 12.0  # at p = e^-12 all videos leave at the glance, at e^12 none before the end


def solve_grid(
    entropy_NK: NDArray[np.float32],
    correct_NK: NDArray[np.bool_],
    step_flops: Sequence[int],
    *,
    num_budgets: int = NUM_BUDGETS,
    worth_NK: NDArray[np.float64] | None = None,
    offset_NK: NDArray[np.float64] | None = None,
) -> BudgetGrid:
    """Thresholds for budgets evenly spaced from the price of a glance to the full cost, which buys all steps.

    Guaranteed on the calibration set at every grid point: mean cost <= budget. Below the full cost: worth not below
    `geometric`'s, and not below that of any smaller budget. Worth is accuracy, or the mean of `worth_NK` in [0, 1]
    (`models.smoothed_correctness`) where that is given: then accuracy itself is promised nothing.
    `offset_NK` is subtracted from the entropies first (`models.exit_rules`): thresholds are for the difference.
    `step_flops[k]` is the price of step k alone.
    Raises ValueError when the shapes disagree, the set is empty, an entropy is no entropy, or a step is free.
    """
    assert num_budgets >= 2, "a grid spans from the glance to the full cost"
    if entropy_NK.dtype != np.float32 or not ((entropy_NK >= 0) & (entropy_NK < ALWAYS_NATS)).all():
        raise ValueError(
            "an entropy is negative, NaN, infinite or not float32: compute it with models.thresholds.entropy_nats"
        )
    if offset_NK is not None:
        entropy_NK = (entropy_NK - offset_NK).astype(np.float32)
    videos = RankedVideos(entropy_NK, correct_NK, step_flops, worth_NK)
    least, full = int(videos.spent_K[0]), int(videos.spent_K[-1])
    budgets = sorted({least + (full - least) * i // (num_budgets - 1) for i in range(num_budgets)})
    limits = [budget * videos.num for budget in budgets]
    found = _exhaustive(videos, limits) if videos.num_steps <= _EXACT_STEPS else _search(videos, limits)

    points: list[GridPoint] = []
    best = found[0]
    for budget, scored in zip(budgets, found, strict=True):
        best = scored if scored.beats(best) else best  # what a smaller budget allows, this one allows too
        if budget == full:
            best = videos.score(np.zeros_like(videos.always))  # who can pay for all steps gets them
        solution = evaluate(entropy_NK, correct_NK, step_flops, videos.thresholds_nats(best.levels))
        assert solution.mean_cost_flops <= budget, "the solver broke its budget"
        points.append(GridPoint(budget, solution))
    return BudgetGrid(tuple(points))


def geometric(
    entropy_NK: NDArray[np.float32], correct_NK: NDArray[np.bool_], step_flops: Sequence[int], budget_flops: int
) -> Solution:
    """The classical answer (MSDNet, GFNet, AdaFocusV2): one parameter p for all thresholds, bisected to meet B."""
    videos = RankedVideos(entropy_NK, correct_NK, step_flops)
    scored = _geometric(videos, budget_flops * videos.num)
    return evaluate(entropy_NK, correct_NK, step_flops, videos.thresholds_nats(scored.levels))


def _within(limit: int) -> Choose:
    """The worthiest cut that costs at most `limit` in all, the cheapest of these on a tie."""

    def choose(worth_P: Ints, cost_P: Ints) -> int | None:
        first = int(np.searchsorted(-cost_P, -limit))  # costs fall: all cuts from here on are affordable
        if first == len(cost_P):
            return None
        return len(cost_P) - 1 - int(worth_P[first:][::-1].argmax())

    return choose


def _at_price(worth_per_flop: float) -> Choose:
    """The best cut where every FLOP costs so much worth."""

    def choose(worth_P: Ints, cost_P: Ints) -> int:
        worth = worth_P - worth_per_flop * cost_P
        return len(worth) - 1 - int(worth[::-1].argmax())

    return choose


def _exhaustive(videos: RankedVideos, limits: Sequence[int]) -> list[Scored]:
    """The optimum under each limit, for at most two thresholds: every first one, with all cuts of the last."""
    best = [videos.score(videos.always) for _ in limits]
    if videos.num_steps == 1:
        return best
    last = videos.num_steps - 2
    firsts = [()] if last == 0 else [(level,) for level in range(int(videos.always[0]) + 1)]
    for first in firsts:
        levels = np.array([*first, 0], dtype=np.int64)
        reached_KN, gone = videos.arrivals(levels)
        later = Later(videos.worth_NK[:, -1], np.full(videos.num, videos.spent_K[-1]))
        cuts = videos.cuts(last, reached_KN[last], gone[last], later)
        for i, cut in enumerate(_best_from(cuts, limits)):
            if cut is not None:
                found = Scored(np.array([*first, cuts.levels_P[cut]]), int(cuts.worth_P[cut]), int(cuts.cost_P[cut]))
                best[i] = found if found.beats(best[i]) else best[i]
    return best


def _best_from(cuts: Cuts, limits: Sequence[int]) -> Iterator[int | None]:
    """What `_within` would choose under each of many limits, in one pass."""
    worth_P = cuts.worth_P[::-1]  # cheapest first
    record_P = np.maximum.accumulate(worth_P)
    fresh_P = np.diff(record_P, prepend=-1) > 0
    holder_P = np.maximum.accumulate(np.where(fresh_P, np.arange(len(record_P)), 0))
    affordable = np.searchsorted(cuts.cost_P[::-1], limits, side="right")
    for count in affordable.tolist():
        yield len(record_P) - 1 - int(holder_P[count - 1]) if count else None


def _search(videos: RankedVideos, limits: Sequence[int]) -> list[Scored]:
    """Good thresholds under each limit, never worse than the geometric family's."""
    path = _lagrangian_path(videos)
    found: list[Scored] = []
    for limit in limits:
        warm = _geometric(videos, limit)
        below = [scored for scored in path if scored.step_flops <= limit]
        above = [scored for scored in path if scored.step_flops > limit]
        starts = [warm, *found[-1:]]
        starts += [max(below, key=lambda scored: scored.worth)] if below else []
        starts += [min(above, key=lambda scored: scored.step_flops)] if above else []
        polished = [videos.score(videos.rounds(start.levels, _within(limit))) for start in starts]
        best = warm
        for scored in polished:
            if scored.step_flops <= limit and scored.beats(best):
                best = scored
        found.append(best)
    return found


def _lagrangian_path(videos: RankedVideos) -> list[Scored]:
    """Coordinate optima of worth - price * cost, from a price at which all leave at once to nearly free cost."""
    span = int(videos.spent_K[-1] - videos.spent_K[0])
    # one right answer more is worth 0.001 to 1000 spans
    prices = np.geomspace(1e3, 1e-3, _NUM_PRICES) * videos.unit / span
    path = [videos.score(videos.always)]
    for price in prices.tolist():
        starts = [path[-1].levels, np.zeros_like(videos.always)]
        tried = [videos.score(videos.rounds(levels, _at_price(price))) for levels in starts]
        path.append(max(tried, key=lambda scored: scored.worth - price * scored.step_flops))
    return path


def _geometric(videos: RankedVideos, limit: int) -> Scored:
    """The member of the geometric family with the largest cost <= limit that bisection of ln p finds."""
    best = videos.score(_geometric_levels(videos, 0.0))
    low, high = -_LOG_P_RANGE, _LOG_P_RANGE
    for _ in range(_NUM_BISECTIONS):
        middle = (low + high) / 2
        scored = videos.score(_geometric_levels(videos, float(np.exp(middle))))
        if scored.step_flops <= limit:
            low = middle
            best = max(best, scored, key=lambda s: s.step_flops)
        else:
            high = middle
    return best


def _geometric_levels(videos: RankedVideos, p: float) -> Ints:
    """Thresholds that let a share proportional to p^k of all videos leave at step k (equal entropies together)."""
    powers_K = p ** np.arange(videos.num_steps)
    counts_K = np.floor(videos.num * powers_K / powers_K.sum()).astype(np.int64)
    levels = np.zeros_like(videos.always)
    staying_N = np.ones(videos.num, dtype=bool)
    for k in range(videos.num_steps - 1):
        order_R = videos.orders[k][staying_N[videos.orders[k]]]
        if counts_K[k] and len(order_R):
            levels[k] = videos.ranks[k][order_R[min(counts_K[k], len(order_R)) - 1]] + 1
            staying_N &= videos.ranks[k] >= levels[k]
    return levels
