"""What another deal of the folds changes: a value, its file, its section of the results page.

Where encoders stand still and heads are in closed form, a seed deals the folds and does nothing else. Knows no network:
`benchmarks.seeds` fills it in. Accuracies lie in [0, 1].
"""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from training.judge.results import Estimate, step_name

SEEDS = "seeds.json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class SeedRow(_Strict):
    seed: int
    top1_K: tuple[Estimate, ...] = Field(min_length=1)
    """Out of fold, after each step."""
    by_source: dict[str, float]
    """At all steps."""
    exit_rule: str
    default_gflops: float
    default_top1: Estimate
    """At the default budget that this seed's folds choose; thresholds cross-fitted."""


class SeedsResult(_Strict):
    plan: str
    data: str
    rows: tuple[SeedRow, ...] = Field(min_length=1)


def write_seeds(path: Path, found: SeedsResult) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(found.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_seeds(path: Path) -> SeedsResult:
    """Raises ValueError for a file that holds none."""
    try:
        return SeedsResult.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ValueError(f"{path} compares no seeds ({error}); benchmarks.seeds does") from error


def seeds_section(found: Sequence[SeedsResult]) -> str:
    """As Markdown, without its heading."""
    if not found:
        return "Not compared: `python -m benchmarks.seeds DATA --json results/compact/seeds.json` does."
    return "\n\n".join(map(_told, found))


def _told(one: SeedsResult) -> str:
    steps = range(len(one.rows[0].top1_K))
    sources = sorted(one.rows[0].by_source)
    columns = ["seed", *map(step_name, steps), *(f"{source}, all steps" for source in sources)]
    columns += ["exit rule", "default budget, GFLOPs", "top-1 there"]
    lines = [_line(columns), _line(["---"] * len(columns))]
    for row in one.rows:
        by_source = [f"{100 * row.by_source[source]:.1f}" for source in sources]
        there = [row.exit_rule, f"{row.default_gflops:.3g}", _points(row.default_top1)]
        lines.append(_line([str(row.seed), *map(_points, row.top1_K), *by_source, *there]))
    values = [100 * row.top1_K[-1].value for row in one.rows]
    told = f"All steps: mean {sum(values) / len(values):.1f}, from least to greatest {max(values) - min(values):.1f}."
    told += f" {_agreement(one)}"
    return f"**{one.plan}** ({one.data})\n\n" + "".join(lines) + f"\n{told}"


def _agreement(one: SeedsResult) -> str:
    """Whether what calibration chooses is the same for every seed."""
    rules = sorted({row.exit_rule for row in one.rows})
    budgets = sorted({f"{row.default_gflops:.3g}" for row in one.rows})
    told = [f"All seeds choose the exit rule {rules[0]}" if len(rules) == 1 else f"Seeds choose {', '.join(rules)}"]
    told.append(f"the default budget {budgets[0]} GFLOPs" if len(budgets) == 1 else _differ(budgets))
    return " and ".join(told) + "."


def _differ(budgets: Sequence[str]) -> str:
    return f"differ in the default budget: {', '.join(budgets)} GFLOPs"


def _points(estimate: Estimate) -> str:
    value, low, high = (f"{100 * number:.1f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |\n"
