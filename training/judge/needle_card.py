"""Where cubes look where the right place is known: values, their file, and the same as Markdown. Knows no network:
`benchmarks.needle` fills it in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from training.judge.exit_comparison import ExitComparison
from training.judge.statistics import Interval

NEEDLE = "needle.json"
OURS = "finer map, chosen aside (ours)"
"""The row against which the others are held."""
PLACE = "the needle's place"
SHOWN = ("random", "centre", "motion", "paper's head, Eq. 5-6", OURS, PLACE)
"""Rows of the results page; the whole card has more."""
_HEAD = (
    "Drawn clips, by `python -m benchmarks.needle`: a small moving thing in a large frame decides the label. The "
    "glance sees when and where it is, and not which it is; something larger moves more; a third are easy. One "
    "classifier judges all rows, which differ in where cubes look. *Found*: of the hard clips, those whose first cube "
    "holds the thing. Points: paired by clip. How *ours* learns, and what else was tried, is told in "
    "[0036](decisions/0036-needles-found.md) and [0074](decisions/0074-needles-finer-maps.md). Plans of `fovea train` "
    "learn by the paper's head."
)


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


@dataclass(slots=True)
class Card:
    rows: list[Row]
    gains: list[Gain]
    directions: list[Direction]
    exits: list[ExitComparison]


_FILE = TypeAdapter(Card)


def write_card(path: Path, card: Card) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_FILE.dump_json(card, indent=1) + b"\n")


def read_card(path: Path) -> Card:
    """Raises ValueError for a file that holds none."""
    try:
        return _FILE.validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ValueError(f"{path} holds no needles ({error}); benchmarks.needle --json writes them") from error


def needle_section(found: Sequence[Card]) -> str:
    """As Markdown, without its heading."""
    if not found:
        return "Not measured: `python -m benchmarks.needle --no-lone --json results/needle/needle.json` does."
    return "\n\n".join([_HEAD, *map(_told, found)])


def _told(card: Card) -> str:
    lines = [
        "| seed | cubes look at | found | glance | 1 cube | 2 cubes | ours less this, 1 cube | 2 cubes |",
        "| --- " * 8 + "|",
    ]
    for row in card.rows:
        if row.cubes not in SHOWN:
            continue
        cells = [f"{100 * value:.1f}" for value in row.top1_E]
        gains = {gain.number: _points(gain.points) for gain in card.gains if _is_ours_over(gain, row)}
        cells += [gains.get(number, "") for number in (1, 2)]
        lines.append(f"| {row.seed} | {row.cubes} | {100 * row.found:.0f} % | " + " | ".join(cells) + " |")
    lines.append("")
    for comparison in card.exits:
        points = comparison.at("entropy")[1:-1]
        above = sum(point.verdict == "above" for point in points)
        told = f"above random exit, interval above 0, at {above} of {len(points)} budgets"
        lines.append(f"- {comparison.name}: exits are {told}.")
    return "\n".join(lines)


def _is_ours_over(gain: Gain, row: Row) -> bool:
    return (gain.seed, gain.cubes, gain.over) == (row.seed, OURS, row.cubes)


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
