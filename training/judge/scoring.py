"""From what a model said to what it is worth: accuracy by source, cost, budgets kept, where videos leave, what differs.

Knows no network and no video: arithmetic on `training.judge.observations`, the same for the same file.

Shape suffixes: N videos, K steps (step 0: the glance or a part of it), C classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.exit_rules import LabelOffsets
from models.thresholds import BudgetGrid, exit_steps
from training.judge import statistics
from training.judge.crossfit import NUM_FOLDS, NUM_REPEATS, cross_fit, summarise
from training.judge.observations import Observations
from training.judge.results import (
    POOLED,
    BudgetPoint,
    ComparedPoint,
    Comparison,
    Confusion,
    Coordinates,
    CrossFit,
    DepthPoint,
    Estimate,
    Exits,
    RandomPoint,
    Result,
    Score,
)
from training.judge.statistics import Interval, Resamples, resample


@dataclass(frozen=True, slots=True)
class Origin:
    """What a result says about where it comes from."""

    trained: bool
    data: str
    seed: int
    commit: str | None
    recipe: str
    machine: str


class Scoring:
    """Scores one set of observations; the same resamples of groups serve every score, so differences are paired."""

    def __init__(self, seen: Observations, *, seed: int = 0, offsets: LabelOffsets | None = None) -> None:
        self.seen = seen
        self._offsets = offsets
        sources = sorted(set(seen.sources_N))
        rows = {POOLED: np.ones(seen.num_rows, dtype=bool)}
        if len(sources) > 1 or sources != [""]:
            rows |= {source or "(none)": seen.members(source) for source in sources}
        self._rows: dict[str, NDArray[np.bool_]] = rows
        self._resamples = {name: self._resample(members, seed) for name, members in rows.items()}

    def held(self, temperatures_K: Sequence[float]) -> NDArray[np.float32]:
        """held_NK: entropies as the exit rule holds them against thresholds, less the offsets where there are some."""
        entropy_NK = self.seen.entropies(temperatures_K)
        return entropy_NK if self._offsets is None else self._offsets.less(entropy_NK, self.seen.top_label_NK)

    def _resample(self, rows_N: NDArray[np.bool_], seed: int) -> Resamples:
        where = np.flatnonzero(rows_N)
        return resample(
            [self.seen.groups_N[row] for row in where],
            [self.seen.sources_N[row] for row in where],
            seed=seed,
            rows_a_video=self.seen.num_deals,
        )

    def scores(self, correct_N: NDArray[np.bool_]) -> tuple[Score, ...]:
        """Pooled first, then by source."""
        return tuple(
            Score(
                source=source,
                videos=int(rows_N.sum()) // self.seen.num_deals,
                groups=self._resamples[source].num_groups,
                majority=float(np.bincount(self.seen.labels_N[rows_N]).max() / rows_N.sum()),
                top1=_estimate(statistics.accuracy_interval(correct_N[rows_N], self._resamples[source])),
                mean_class=_estimate(
                    statistics.class_mean_interval(
                        correct_N[rows_N], self.seen.labels_N[rows_N], self._resamples[source]
                    )
                ),
            )
            for source, rows_N in self._rows.items()
        )

    def exits(self, steps_N: NDArray[np.intp]) -> tuple[Exits, ...]:
        num_steps = len(self.seen.step_flops_K)
        return tuple(
            Exits(
                source=source, videos_by_last_step_K=tuple(np.bincount(steps_N[rows_N], minlength=num_steps).tolist())
            )
            for source, rows_N in self._rows.items()
        )

    def mean(self, values_N: NDArray[np.floating] | NDArray[np.integer], source: str = POOLED) -> Interval:
        return statistics.mean_interval(values_N[self._rows[source]], self._resamples[source])

    def depths(self, temperatures_K: Sequence[float]) -> tuple[DepthPoint, ...]:
        seen, ones = self.seen, [1.0] * len(self.seen.step_flops_K)
        before_NKC, after_NKC = seen.tempered(ones), seen.tempered(temperatures_K)
        return tuple(
            DepthPoint(
                step=k,
                gflops=int(seen.spent_K[k]) / 1e9,
                ms=_ms(np.cumsum(seen.seconds_K)[k]),
                scores=self.scores(seen.correct_NK[:, k]),
                temperature=temperatures_K[k],
                calibration_error_before=statistics.calibration_error(before_NKC[:, k], seen.labels_N),
                calibration_error_after=statistics.calibration_error(after_NKC[:, k], seen.labels_N),
            )
            for k in range(len(seen.step_flops_K))
        )

    def budgets(self, grid: BudgetGrid, temperatures_K: Sequence[float]) -> tuple[BudgetPoint, ...]:
        seen = self.seen
        held_NK = self.held(temperatures_K)
        milliseconds_K = np.cumsum(seen.seconds_K) * 1e3
        points = []
        for point in grid.points:
            steps_N = exit_steps(held_NK, point.solution.thresholds_nats)
            points.append(
                BudgetPoint(
                    asked_gflops=point.budget_flops / 1e9,
                    mean_gflops=_estimate(self.mean(seen.spent_K[steps_N] / 1e9)),
                    mean_ms=_ms(milliseconds_K[steps_N].mean() / 1e3),
                    scores=self.scores(_at(seen.correct_NK, steps_N)),
                    exits=self.exits(steps_N),
                )
            )
        return tuple(points)

    def random(self, draws: Mapping[Coordinates, Sequence[Observations]]) -> tuple[RandomPoint, ...]:
        """After 1, 2, 4... cubes and after all of them, on the same videos."""
        last = len(self.seen.step_flops_K) - 1
        steps = sorted({2**i for i in range(8) if 2**i <= last} | {last} - {0})
        num_groups = self._resamples[POOLED].num_groups
        points = []
        for coordinates, observed in draws.items():
            correct_NK = np.mean([one.in_order_of(self.seen).correct_NK for one in observed], axis=0)
            for step in steps:
                gain = self.mean(self.seen.correct_NK[:, step] - correct_NK[:, step])
                points.append(
                    RandomPoint(
                        coordinates=coordinates,
                        step=step,
                        draws=len(observed),
                        top1=_estimate(self.mean(correct_NK[:, step])),
                        learned_minus_random=_estimate(gain),
                        verdict=statistics.verdict(gain, num_groups),
                    )
                )
        return tuple(points)

    def comparison(self, other: Observations, grid: BudgetGrid | None, temperatures_K: Sequence[float]) -> Comparison:
        """Ours at all steps and at every budget, against all steps of `other`; paired by video."""
        seen, other = self.seen, other.in_order_of(self.seen)
        theirs_N, their_flops = other.correct_NK[:, -1], int(other.spent_K[-1])
        last_N = np.full(seen.num_rows, len(seen.step_flops_K) - 1)
        ways: list[tuple[str, float | None, NDArray[np.intp]]] = [("full", None, last_N)]
        held_NK = self.held(temperatures_K)
        for point in grid.points if grid is not None else ():
            steps_N = exit_steps(held_NK, point.solution.thresholds_nats)
            ways.append(("budget", point.budget_flops / 1e9, steps_N))
        points = []
        for way, asked_gflops, steps_N in ways:
            gain_N = _at(seen.correct_NK, steps_N).astype(np.float64) - theirs_N
            for source, rows_N in self._rows.items():
                difference = self.mean(gain_N, source)
                points.append(
                    ComparedPoint(
                        way=way,
                        asked_gflops=asked_gflops,
                        cost_ratio=float(seen.spent_K[steps_N[rows_N]].mean()) / their_flops,
                        source=source,
                        difference=_estimate(difference),
                        verdict=statistics.verdict(difference, self._resamples[source].num_groups),
                    )
                )
        return Comparison(
            other=other.model,
            other_digest=other.digest,
            other_gflops=their_flops / 1e9,
            other_ms=_ms(sum(other.seconds_K)),
            other_scores=self.scores(theirs_N),
            points=tuple(points),
        )

    def confusion(self, way: str, steps_N: NDArray[np.intp]) -> Confusion:
        said_N = _at(self.seen.log_probs_NKC.argmax(axis=2), steps_N)
        counts = statistics.confusion_matrix(self.seen.labels_N, said_N, len(self.seen.classes_C))
        return Confusion(way=way, counts_CC=tuple(tuple(row) for row in counts.tolist()))


def score(
    seen: Observations,
    origin: Origin,
    *,
    grid: BudgetGrid | None,
    temperatures_K: Sequence[float] | None = None,
    default_budget_flops: int | None = None,
    random: Mapping[Coordinates, Sequence[Observations]] | None = None,
    others: Sequence[Observations] = (),
    offsets: LabelOffsets | None = None,
) -> Result:
    """Everything that follows from the observations. `grid` is None for a fixed cost, `offsets` for plain Eq. 7.

    Raises ValueError when `others` or `random` are of other videos.
    """
    temperatures = tuple(temperatures_K or [1.0] * len(seen.step_flops_K))
    scored = Scoring(seen, offsets=offsets)
    last_N = np.full(seen.num_rows, len(seen.step_flops_K) - 1)
    confusions = [scored.confusion("full", last_N)]
    if grid is not None and default_budget_flops is not None:
        thresholds_nats = grid.at(default_budget_flops).thresholds_nats
        steps_N = exit_steps(scored.held(temperatures), thresholds_nats)
        confusions.append(scored.confusion("default budget", steps_N))
    cross_fitted, missing = (
        _cross_fitted(seen, offsets is not None)
        if grid is not None
        else (None, "its cost is fixed: there is no budget")
    )
    return Result(
        model=seen.model,
        digest=seen.digest,
        trained=origin.trained,
        data=origin.data,
        split=seen.split,
        seed=origin.seed,
        commit=origin.commit,
        recipe=origin.recipe,
        executor=seen.executor,
        machine=origin.machine,
        classes_C=seen.classes_C,
        step_flops=seen.step_flops_K,
        step_ms_K=tuple(_ms(seconds) for seconds in seen.seconds_K),
        default_budget_gflops=None if default_budget_flops is None else default_budget_flops / 1e9,
        depths=scored.depths(temperatures),
        budgets=() if grid is None else scored.budgets(grid, temperatures),
        random=scored.random(random or {}),
        comparisons=tuple(scored.comparison(other, grid, temperatures) for other in others),
        cross_fit=cross_fitted,
        cross_fit_missing=missing,
        confusions=tuple(confusions),
    )


def _cross_fitted(seen: Observations, by_label: bool) -> tuple[CrossFit | None, str]:
    """The check by the model's own exit rule, or why there is none: few groups or videos."""
    num_groups = len(set(zip(seen.sources_N, seen.groups_N, strict=True)))
    num_folds = min(NUM_FOLDS, num_groups)
    least = len(seen.step_flops_K)
    if num_folds < 2:
        return None, f"{num_groups} group is too few to solve on some and spend on others"
    try:
        check = summarise(cross_fit(seen, num_folds=num_folds, exit_rule="entropy_by_label" if by_label else "entropy"))
    except ValueError:
        return None, f"some folds leave fewer than {least} videos to solve on"
    found = CrossFit(
        folds=num_folds,
        repeats=NUM_REPEATS,
        num_trials=check.num_trials,
        share_kept=check.share_kept,
        share_kept_over_all=check.share_kept_over_all,
        median_overspend=check.median_overspend,
        worst_overspend=check.worst_overspend,
        typical_error=check.typical_error,
        share_not_below_geometric=check.share_not_below_geometric,
        mean_gain_solved=check.mean_gain_solved,
        mean_gain_fresh=check.mean_gain_fresh,
        mean_cost_ratio_fresh=check.mean_cost_ratio_fresh,
    )
    return found, ""


def _at(values_NK: NDArray, steps_N: NDArray[np.intp]) -> NDArray:  # type: ignore[type-arg]
    return values_NK[np.arange(len(steps_N)), steps_N]


def _estimate(interval: Interval) -> Estimate:
    return Estimate(value=interval.value, low=interval.low, high=interval.high)


def _ms(seconds: float) -> float | None:
    return None if np.isnan(seconds) else float(seconds) * 1e3
