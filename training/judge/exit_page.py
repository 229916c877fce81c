"""The section of docs/RESULTS.md on whether exits pay. Knows no statistics: it lays out `exit_comparison`'s figures."""

from collections.abc import Sequence

from training.judge.exit_comparison import ExitComparison, Judged, RulePoint
from training.judge.statistics import Interval, verdict

HEAD = (
    "*Random exit* leaves at random at equal mean cost: the straight line between fixed depths. *entropy* is Eq. 7, "
    "*by label* has thresholds that differ between labels; both are searched by smoothed correctness. *Ours* is "
    "whichever of the two calibration chooses by folds over groups; out of fold it chooses anew without the videos "
    "that it is judged on. Top-1 in percent, differences from random exit in points, paired by video. At a glance's "
    "price and at the full cost there is nothing to choose."
)
_COLUMNS = ("B", "realised", "top-1", "random exit there", "ours", "entropy", "by label", "ours is")
_OLDER = ("B", "realised", "top-1", "random exit there", "by label", "entropy", "by label is")


def exits_section(comparisons: Sequence[ExitComparison]) -> str:
    """As Markdown, without its heading."""
    if not comparisons:
        return "Nothing was compared: `fovea compare-exits` does."
    return "\n\n".join(map(exits_table, comparisons))


def exits_table(one: ExitComparison) -> str:
    """One comparison: a row a budget. Files made before calibration chose have no *ours*."""
    ours: Judged = "chosen" if one.at("chosen") else "entropy_by_label"
    columns = _COLUMNS if ours == "chosen" else _OLDER
    lines = [_line(columns), _line(["---"] * len(columns))]
    by_budget = list(zip(one.at(ours), one.at("entropy"), one.at("entropy_by_label"), strict=True))[1:-1]
    for point, plain, by_label in by_budget:
        others = [plain, by_label] if ours == "chosen" else [plain]
        lines.append(_line([*_cells(point), *(_points(other.minus_random) for other in others), point.verdict]))
    above = sum(point.verdict == "above" for point, _, _ in by_budget)
    told = [f"**{one.name}** ({one.videos} videos, {one.groups} groups): {one.how}."]
    if one.chosen:
        told.append(f"Served by {one.chosen}.")
    told.append(f"Above random exit, interval above 0, at {above} of {len(by_budget)} budgets.")
    if one.mean_minus_random is not None:
        said = verdict(one.mean_minus_random, one.groups)
        told.append(f"Mean over these budgets: {_points(one.mean_minus_random)} points from random exit, {said}.")
    told += _of_the_served(one)
    return " ".join(told) + "\n\n" + "".join(lines)


def _of_the_served(one: ExitComparison) -> list[str]:
    """Where the folds chose another rule than all videos together do: what the served one gives."""
    served: Judged = "entropy_by_label" if one.chosen.startswith("entropy_by_label") else "entropy"
    ours, points = one.at("chosen"), one.at(served)
    if not ours or [point.top1 for point in ours] == [point.top1 for point in points]:
        return []
    between = points[1:-1]
    above = sum(point.verdict == "above" for point in between)
    mean = sum(point.minus_random.value for point in between) / len(between)
    return [
        f"Some folds choose another rule than the one served; that one by itself is above at {above} of "
        f"{len(between)} budgets, {100 * mean:.1f} points in the mean."
    ]


def _cells(point: RulePoint) -> list[str]:
    return [
        f"{point.asked_gflops:.3g}",
        f"{point.mean_gflops:.3g}",
        _points(point.top1),
        f"{100 * point.random_top1:.1f}",
        _points(point.minus_random),
    ]


def _points(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
