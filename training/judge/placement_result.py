"""Where cubes look, compared out of fold: a value, its file, its section of the results page.

Knows no network: `benchmarks.placements` fills it in. Accuracies lie in [0, 1].
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from training.judge.results import Estimate, step_name
from training.judge.statistics import Interval, verdict

PLACEMENTS = "placements.json"
PERSON = "person"
"""The row against which the others are held."""
SHIPS = "as it ships"
"""With its cube of motion, and with what exits keep of each other's answers."""
MOST_OF_WHOLE = 0.4
"""The share of whole frames' multiply-adds that the paper's claim leaves."""
_IN_WORDS = {
    "above": "*Person* is above other cubes here",
    "below": "*Person* is below other cubes here",
    "not resolved": "Between *person* and these cubes no difference is resolved",
}
"""By verdict, before the rows that it holds for."""
_HEAD = (
    "By `python -m benchmarks.placements DATA`: the same networks, heads and folds; what differs is which windows the "
    "cubes show. *Person*: cubes that follow a person, as in what ships, but without its cube of motion, and each head "
    "by itself. *As it ships*: with the cube of motion, its first, and with what exits keep of each other's answers. "
    "All heads are fitted on clips as they are. *Whole frames*: all sixteen at 224 x 320, the full-frame baseline of "
    "the same start and heads; both, at all steps, are held against it. Differences in points, paired by video.\n\n"
    "No row is *learned*: the paper's policy belongs to another network ([history](#history)), and was not trained on "
    "recordings since it learns better on drawn clips ([0036](decisions/0036-needles-found.md), "
    "[0074](decisions/0074-needles-finer-maps.md)). An offset from the person, learned, was 0.8 points behind it "
    "[-2.3, 0.5], and the codec's own motion vectors place windows no better than pixel differences do "
    "([0046](decisions/0046-heads-that-were-left.md))."
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class PlacementRow(_Strict):
    name: str
    step: int
    gflops: float
    top1: Estimate
    person_less_this: Estimate | None
    """At as many cubes; of whole frames, at all cubes. None of the person itself, and of the glance."""
    person_cost_ratio: float | None
    """The person's multiply-adds there over this row's."""
    ships_less_this: Estimate | None = None
    """Of whole frames: what ships, at all its steps. None where what ships is the person, and in older files."""
    ships_cost_ratio: float | None = None


class PlacementResult(_Strict):
    model: str
    data: str
    groups: int
    rows: tuple[PlacementRow, ...]


def write_placements(path: Path, found: PlacementResult) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_placements(path: Path) -> PlacementResult:
    """Raises ValueError for a file that holds none."""
    try:
        return PlacementResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ValueError(f"{path} compares no placements ({error}); benchmarks.placements does") from error


def placements_section(found: Sequence[PlacementResult]) -> str:
    """As Markdown, without its heading."""
    if not found:
        return "Not compared: `python -m benchmarks.placements DATA --json results/compact/placements.json` does."
    return "\n\n".join([_HEAD, *map(_told, found)])


def _told(one: PlacementResult) -> str:
    """Tables first, then in words what they show."""
    lines = [
        f"**{one.model}** ({one.data}; {one.groups} groups)\n\n",
        _line(("cubes look at", "step", "GFLOPs", "top-1", "person less this", "its cost over this", "person is")),
        _line(["---"] * 7),
    ]
    for row in one.rows:
        apart, ratio, said = "", "", ""
        if row.person_less_this is not None:
            apart, said = _points(row.person_less_this), _verdict(row.person_less_this, one.groups)
            ratio = f"{row.person_cost_ratio:.2f}" if row.person_cost_ratio is not None else ""
        lines.append(_line((row.name, _after(row), f"{row.gflops:.3g}", _points(row.top1), apart, ratio, said)))
    return "\n".join(["".join(lines), *in_words(one)])


def in_words(one: PlacementResult) -> list[str]:
    """As list items: the person against other cubes, and against whole frames."""
    told = []
    cubes = [row for row in one.rows if not _is_whole(row) and row.person_less_this is not None]
    for said, words in _IN_WORDS.items():
        names = [
            f"{row.name} at {_after(row)} ({_points(apart)})"
            for row in cubes
            if (apart := row.person_less_this) is not None and _verdict(apart, one.groups) == said
        ]
        if names:
            told.append(f"- {words}: {'; '.join(names)}.")
    for row in filter(_is_whole, one.rows):
        told += _against_whole(f"*{PERSON}*", row.person_less_this, row.person_cost_ratio, row.name, one.groups)
        told += _against_whole("what ships", row.ships_less_this, row.ships_cost_ratio, row.name, one.groups)
    return told


def _against_whole(ours: str, apart: Estimate | None, share: float | None, whole: str, groups: int) -> list[str]:
    if apart is None or share is None:
        return []
    aim = "aim: at most" if share <= MOST_OF_WHOLE else "more than the aim of"
    return [
        f"- At {share:.0%} of the multiply-adds of {whole} ({aim} {MOST_OF_WHOLE:.0%}) {ours} is "
        f"{100 * apart.value:+.1f} points [{100 * apart.low:.1f}, {100 * apart.high:.1f}] from them: "
        f"{_verdict(apart, groups)}."
    ]


def _after(row: PlacementRow) -> str:
    """What has been seen: all steps after the glance are cubes of this kind, but for those of what ships."""
    if _is_whole(row):
        return "all"
    if row.step == 0 or row.name == SHIPS:
        return step_name(row.step)
    return f"{row.step} cube{'' if row.step == 1 else 's'}"


def _is_whole(row: PlacementRow) -> bool:
    return row.name.startswith("whole")


def _verdict(apart: Estimate, groups: int) -> str:
    return verdict(Interval(apart.value, apart.low, apart.high), groups)


def _points(estimate: Estimate) -> str:
    value, low, high = (f"{100 * number:.1f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
