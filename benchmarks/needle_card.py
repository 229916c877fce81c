"""What `benchmarks.needle` found: values, and the same as Markdown. Knows no network."""

from dataclasses import dataclass
from typing import Literal

from training.judge.exit_comparison import ExitComparison
from training.judge.statistics import Interval


@dataclass(frozen=True, slots=True)
class Row:
    """Top-1 on val after no, one and two cubes."""

    seed: int
    cubes: str
    top1_E: tuple[float, ...]
    found: float
    """Of the hard clips, how often the first cube holds the needle's centre while it shows."""


@dataclass(frozen=True, slots=True)
class Direction:
    """Of cubes beside a needle: how often the gradient moves them towards it."""

    seed: int
    gradient: Literal["deep", "pixel", "deep, whole frames"]
    """Of lone cubes cut with a cell to spare, as Eq. 5-6 is implemented; of pixels; of the map of whole frames."""
    clips: Literal["other clips", "the heads' clips"]
    cubes: int
    towards: float


@dataclass(frozen=True, slots=True)
class Gain:
    """How much higher top-1 on val is with the cubes of one row than with those of another."""

    seed: int
    cubes: str
    over: str
    number: int
    points: Interval
    """In hundredths."""


@dataclass(slots=True, eq=False)
class Card:
    rows: list[Row]
    gains: list[Gain]
    directions: list[Direction]
    exits: list[ExitComparison]


def render(card: Card) -> str:
    """The card as Markdown."""
    lines = ["| seed | cubes | found by the first | glance | 1 cube | 2 cubes |", "| --- " * 6 + "|"]
    for row in card.rows:
        cells = " | ".join(f"{100 * value:.1f}" for value in row.top1_E)
        lines.append(f"| {row.seed} | {row.cubes} | {100 * row.found:.0f} % | {cells} |")
    lines += ["", "| seed | cubes | minus | how many | points |", "| --- " * 5 + "|"]
    for gain in card.gains:
        lines.append(f"| {gain.seed} | {gain.cubes} | {gain.over} | {gain.number} | {_points(gain.points)} |")
    lines += ["", "| seed | gradient | on | cubes beside a needle | towards it |", "| --- " * 5 + "|"]
    for one in card.directions:
        lines.append(f"| {one.seed} | {one.gradient} | {one.clips} | {one.cubes} | {100 * one.towards:.0f} % |")
    lines += ["", "| seed | rule | B | realised | top-1 | minus random exit |", "| --- " * 6 + "|"]
    for comparison in card.exits:
        for point in comparison.points:
            lines.append(
                f"| {comparison.name[-1]} | {point.rule} | {point.asked_gflops:.3f} | {point.mean_gflops:.3f} | "
                f"{_points(point.top1)} | {_points(point.minus_random)} |"
            )
    return "\n".join(lines) + "\n"


def _points(interval: Interval) -> str:
    return f"{100 * interval.value:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"
