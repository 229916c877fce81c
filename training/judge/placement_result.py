"""Where cubes look, compared out of fold: a value, its file, its section of the results page.

Knows no network: `benchmarks.placements` fills it in. Accuracies lie in [0, 1].
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from training.judge.results import Estimate, step_name

PLACEMENTS = "placements.json"
_HEAD = (
    "By `python -m benchmarks.placements DATA`: the same networks, heads and folds; what differs is which windows the "
    "cubes show. *Person*: the cubes of what ships, its heads on clips as they are. *Whole frames*: all sixteen at "
    "224 x 320, the full-frame baseline of the same start and heads; *person*, at all steps, is held against it. "
    "Differences in points, paired by video. No row is *learned*: the paper's policy belongs to another network "
    "([history](#history)); an offset from the person, learned, was 0.8 points behind it [-2.3, 0.5] (decision 0046)."
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
    return "\n\n".join([_HEAD, *map(_table, found)])


def _table(one: PlacementResult) -> str:
    lines = [
        f"**{one.model}** ({one.data}; {one.groups} groups)\n\n",
        _line(("cubes look at", "step", "GFLOPs", "top-1", "person less this", "its cost over this")),
        _line(["---"] * 6),
    ]
    for row in one.rows:
        step = "all" if row.name.startswith("whole") else step_name(row.step)
        apart = "" if row.person_less_this is None else _points(row.person_less_this)
        ratio = "" if row.person_less_this is None or row.person_cost_ratio is None else f"{row.person_cost_ratio:.2f}"
        lines.append(_line((row.name, step, f"{row.gflops:.3g}", _points(row.top1), apart, ratio)))
    return "".join(lines)


def _points(estimate: Estimate) -> str:
    value, low, high = (f"{100 * number:.1f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
