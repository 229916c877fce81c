"""The section of docs/RESULTS.md on whether exits pay. Knows no statistics: it lays out `exit_comparison`'s figures."""

from collections.abc import Sequence

from training.judge.exit_comparison import ExitComparison, RulePoint
from training.judge.statistics import Interval

_HEAD = (
    "*Random exit* leaves at random at equal mean cost: the straight line between fixed depths. *entropy* is Eq. 7, "
    "*ours* has thresholds that differ between labels; both are searched by smoothed correctness. Top-1 in percent, "
    "differences in points, paired by video."
)
_COLUMNS = ("B", "rule", "realised", "top-1", "random exit there", "less random exit", "less entropy", "against random")


def exits_section(comparisons: Sequence[ExitComparison]) -> str:
    """As Markdown, without its heading."""
    if not comparisons:
        return "Nothing was compared: `fovea compare-exits` does."
    return "\n\n".join([_HEAD, *(_told(one) for one in comparisons)])


def _told(one: ExitComparison) -> str:
    lines = [_line(_COLUMNS), _line(["---"] * len(_COLUMNS))]
    for plain, ours in zip(one.at("entropy"), one.at("entropy_by_label"), strict=True):
        lines += [_line(_cells(plain, "entropy", "")), _line(_cells(ours, "ours", _points(ours.minus_entropy)))]
    return f"**{one.name}** ({one.videos} videos, {one.groups} groups): {one.how}.\n\n" + "".join(lines)


def _cells(point: RulePoint, name: str, less_entropy: str) -> list[str]:
    return [
        f"{point.asked_gflops:.3g}",
        name,
        f"{point.mean_gflops:.3g}",
        _points(point.top1),
        f"{100 * point.random_top1:.1f}",
        _points(point.minus_random),
        less_entropy,
        point.verdict,
    ]


def _points(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
