"""What an evaluation found, as one JSON file with a version. Plain numbers: no pixel, and no path of a machine.

Knows no arithmetic: `training.judge.scoring` fills it in, `training.judge.report` and `training.judge.plots` read it.

Accuracies lie in [0, 1], costs are GFLOPs (1e9 multiply-adds), times milliseconds of one video without decoding.
Shape suffixes: K steps (step 0: the glance or a part of it), C classes.
"""

import json
import os
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

FORMAT: Literal[1] = 1
RESULT = "result.json"
Coordinates: TypeAlias = Literal["space-time", "space", "time"]
"""Which coordinates of a cube are drawn at random; the others stay the learned policy's."""
POOLED = "pooled"
"""The name under which all sources together stand."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, validate_by_name=True)


class Estimate(_Strict):
    """With its 95 % interval; see `training.judge.statistics`."""

    value: float
    low: float
    high: float


class Score(_Strict):
    """Of one source, or of all (`pooled`)."""

    source: str
    videos: int
    groups: int
    majority: float
    """Share of the most frequent class: what always saying it would score."""
    top1: Estimate
    mean_class: Estimate


class Exits(_Strict):
    source: str
    videos_by_last_step_K: tuple[int, ...]


class BudgetPoint(_Strict):
    """One B of the bundle's grid, with the thresholds that it was solved to on other videos."""

    asked_gflops: float
    mean_gflops: Estimate
    mean_ms: float | None
    scores: tuple[Score, ...]
    exits: tuple[Exits, ...]


class DepthPoint(_Strict):
    """Every video takes the same steps: exit `step`, whatever the entropy."""

    step: int
    gflops: float
    ms: float | None
    scores: tuple[Score, ...]
    temperature: float
    calibration_error_before: float
    calibration_error_after: float


class RandomPoint(_Strict):
    """Cubes in random places after `step` cubes, averaged over the draws; `learned_minus_random` is paired."""

    coordinates: Coordinates
    step: int
    draws: int
    top1: Estimate
    learned_minus_random: Estimate
    verdict: str


class ComparedPoint(_Strict):
    """One way of ours against the other model at all its steps; both by videos of one source, or all."""

    way: str
    """`full`, or `budget`."""
    asked_gflops: float | None
    cost_ratio: float
    """Our mean multiply-adds over theirs."""
    source: str
    difference: Estimate
    """Our top-1 minus theirs, paired."""
    verdict: str


class Comparison(_Strict):
    other: str
    other_digest: str
    other_gflops: float
    other_ms: float | None
    other_scores: tuple[Score, ...]
    points: tuple[ComparedPoint, ...]


class CrossFit(_Strict):
    """Budgets on fresh videos: see `training.judge.crossfit.BudgetCheck`, whose fields these are."""

    folds: int
    repeats: int
    num_trials: int
    share_kept: float
    share_kept_over_all: float
    median_overspend: float
    worst_overspend: float
    typical_error: float
    share_not_below_geometric: float
    mean_gain_solved: float
    mean_gain_fresh: float
    mean_cost_ratio_fresh: float


class Confusion(_Strict):
    way: str
    counts_CC: tuple[tuple[int, ...], ...]
    """Row: what it is; column: what was said."""


class Result(_Strict):
    format: Literal[1] = FORMAT
    model: str
    digest: str
    trained: bool
    data: str
    split: str
    seed: int
    """Of the training run."""
    commit: str | None
    recipe: str
    executor: str
    machine: str
    classes_C: tuple[str, ...]
    step_flops: tuple[int, ...] = Field(validation_alias="costs_flops_K", serialization_alias="costs_flops_K")
    """In the file by the name that it had there first: results outlive names in the code."""
    step_ms_K: tuple[float | None, ...]
    default_budget_gflops: float | None
    """None for a fixed-cost model, which has one exit and no budget."""
    depths: tuple[DepthPoint, ...] = Field(min_length=1)
    budgets: tuple[BudgetPoint, ...]
    random: tuple[RandomPoint, ...]
    comparisons: tuple[Comparison, ...]
    cross_fit: CrossFit | None
    cross_fit_missing: str
    """Why there is no cross-fit; empty where there is one."""
    confusions: tuple[Confusion, ...]

    @property
    def default_point(self) -> BudgetPoint | None:
        """The budget that a request without one gets: the greatest of the grid that is not above the default."""
        if self.default_budget_gflops is None or not self.budgets:
            return None
        affordable = [point for point in self.budgets if point.asked_gflops <= self.default_budget_gflops + 1e-12]
        return affordable[-1] if affordable else self.budgets[0]


def step_name(step: int) -> str:
    """As tables and plots call it: which step looks at what is the model's own."""
    return f"step {step}"


def pooled(scores: tuple[Score, ...]) -> Score:
    return next(score for score in scores if score.source == POOLED)


def write_result(folder: Path, result: Result) -> Path:
    """Write `folder`/result.json, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    scratch = folder / f".{RESULT}.unfinished"
    scratch.write_text(result.model_dump_json(indent=1, by_alias=True) + "\n", encoding="utf-8")
    os.replace(scratch, folder / RESULT)
    return folder / RESULT


def read_result(path: Path) -> Result:
    """Raises ValueError for a file that is no result of this format."""
    try:
        text = path.read_bytes()
        found = json.loads(text).get("format")
        if found != FORMAT:
            raise ValueError(f"format is {found!r}, but this version reads {FORMAT}")
        return Result.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{path} is no result: {where}: {first['msg']}; evaluate again") from error
    except (OSError, ValueError, AttributeError) as error:
        raise ValueError(f"{path} is no result: {error}; `fovea evaluate` writes one") from error
