"""The calibrated half of a bundle: temperatures, the calibration set, and the thresholds solved on it.

Knows no network and no clip. `training.judge.calibrate` makes one from videos.

Shape suffixes: N calibration videos (in each deal of the folds), K steps (step 0: the glance or a part of it).
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from models.bundle_format import (
    CALIBRATION,
    CALIBRATION_SET,
    BundleError,
    CalibrationFile,
    SolvedBudget,
    read_bytes,
    read_json,
)
from models.exit_rules import ExitRule, LabelOffsets
from models.thresholds import NEVER_NATS, BudgetGrid, GridPoint, Solution, evaluate, exit_steps

_WAY_OUT = "calibrate again"


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """`entropy_NK` float32 in nats, after the temperatures; `correct_NK` bool. `data` says what the videos were.

    Without videos (N = 0) nothing was solved, and accuracies are NaN. `top_label_NK` int32 is what each exit said; None
    in bundles made before it was kept, which know no `offsets`.
    """

    data: str
    temperatures_K: tuple[float, ...]
    entropy_NK: NDArray[np.float32]
    correct_NK: NDArray[np.bool_]
    grid: BudgetGrid
    top_label_NK: NDArray[np.int32] | None = None
    offsets: LabelOffsets | None = None
    """By how much thresholds differ between labels; None: not at all (plain Eq. 7)."""
    majority_share: float | None = None
    """Share of the videos that are of their source's most frequent class; None where nobody noted it."""
    exit_rule_choice: str | None = None
    """How the exit rule was chosen, in a sentence; None where nobody chose."""
    num_deals: int = 1
    """Of the folds: every video has a row in each, deal by deal. Accuracies and costs are the mean over them."""

    @property
    def num_videos(self) -> int:
        return len(self.correct_NK) // self.num_deals

    def accuracy_by_deal(self, point: GridPoint) -> tuple[float, ...]:
        """What thresholds that were solved on all deals give in each of them."""
        held_NK = self.entropy_NK
        if self.offsets is not None and self.top_label_NK is not None:
            held_NK = self.offsets.less(held_NK, self.top_label_NK)
        steps_N = exit_steps(held_NK, point.solution.thresholds_nats)
        right_N = self.correct_NK[np.arange(len(steps_N)), steps_N]
        return tuple(right_N.reshape(self.num_deals, -1).mean(axis=1).tolist())

    @property
    def below_majority(self) -> bool:
        """Whether, on the set, always saying a source's most frequent class is right more often than the model."""
        if self.majority_share is None or not len(self.correct_NK):
            return False
        return self.best_accuracy < self.majority_share

    @property
    def best_accuracy(self) -> float:
        """On the set, at whichever solved budget it is greatest."""
        return max(point.solution.accuracy for point in self.grid.points)

    @property
    def exit_rule(self) -> ExitRule:
        return "entropy" if self.offsets is None else "entropy_by_label"

    @property
    def told_exit_rule(self) -> str:
        """A sentence for the model card."""
        chosen = "" if self.exit_rule_choice is None else f"; {self.exit_rule_choice}"
        if self.offsets is not None:
            return f"entropy_by_label: thresholds on entropy that differ between labels{chosen}"
        if not len(self.entropy_NK):
            return "none: no step but the last stops"
        if self.top_label_NK is None:
            return "entropy (Eq. 7): the calibration set keeps no top labels; calibrate again for thresholds by label"
        return f"entropy (Eq. 7){chosen}"

    def held_against_thresholds(
        self, entropy_NK: NDArray[np.float32], top_label_NK: NDArray[np.integer]
    ) -> NDArray[np.float32]:
        """Of any videos' entropies, what the grid's thresholds are for: less the offsets, where there are some."""
        return entropy_NK if self.offsets is None else self.offsets.less(entropy_NK, top_label_NK)

    @property
    def warning(self) -> str | None:
        """What is wrong with the set: where all answers are right, or none is, nothing tells how sure to be."""
        if not len(self.correct_NK):
            return None  # `data` says that nothing was calibrated
        shares_K = self.correct_NK.mean(axis=0)
        blind = [str(step) for step, share in enumerate(shares_K) if share in {0.0, 1.0}]
        if not blind:
            return None
        return (
            f"these clips cannot calibrate: at step {', '.join(blind)} all {self.num_videos} answers were right, "
            "or all were wrong, so the scores are a guess; calibrate on more clips, and on harder ones"
        )


NOT_CALIBRATED = "none: all steps are taken, whatever the budget"


def not_calibrated(step_flops: Sequence[int], temperatures_K: Sequence[float]) -> Calibration:
    """Of a model that nobody has run on videos yet: no early exit, and one budget, the full cost."""
    num_steps = len(step_flops)
    never = Solution((NEVER_NATS,) * (num_steps - 1), float(sum(step_flops)), math.nan)
    return Calibration(
        data=NOT_CALIBRATED,
        temperatures_K=tuple(temperatures_K),
        entropy_NK=np.zeros((0, num_steps), np.float32),
        correct_NK=np.zeros((0, num_steps), np.bool_),
        grid=BudgetGrid((GridPoint(sum(step_flops), never),)),
    )


def calibration_files(calibration: Calibration) -> dict[str, bytes]:
    """The files of a bundle, by name. Accuracies and mean costs are left out: they follow from the set."""
    content = CalibrationFile(
        data=calibration.data,
        temperatures_K=calibration.temperatures_K,
        exit_rule=calibration.exit_rule,
        exit_rule_choice=calibration.exit_rule_choice,
        label_offsets_nats=None if calibration.offsets is None else calibration.offsets.nats,
        majority_share=calibration.majority_share,
        num_deals=calibration.num_deals,
        grid=tuple(
            SolvedBudget(budget_flops=point.budget_flops, thresholds_nats=point.solution.thresholds_nats)
            for point in calibration.grid.points
        ),
    )
    text = (json.dumps(content.model_dump(mode="json"), indent=1) + "\n").encode()
    if not len(calibration.entropy_NK):
        return {CALIBRATION: text}
    arrays: dict[str, NDArray[Any]] = {  # safetensors writes memory as it lies, whatever the strides
        "entropy_NK": np.ascontiguousarray(calibration.entropy_NK),
        "correct_NK": np.ascontiguousarray(calibration.correct_NK, dtype=np.uint8),
    }
    if calibration.top_label_NK is not None:
        arrays["top_label_NK"] = np.ascontiguousarray(calibration.top_label_NK, dtype=np.int32)
    return {CALIBRATION: text, CALIBRATION_SET: save(arrays)}


def read_calibration(folder: Path, step_flops: Sequence[int], num_labels: int, *, solved: bool) -> Calibration:
    """Read and check against the prices of today's code. Raises BundleError."""
    content = read_json(folder, CALIBRATION, CalibrationFile)
    if not solved:
        return _read_none(folder, content, step_flops)
    entropy_NK, correct_NK, top_label_NK = _read_set(folder, len(step_flops), num_labels)
    if len(correct_NK) % content.num_deals:
        rule = f"the {len(correct_NK)} rows of {CALIBRATION_SET} must be as many in each deal"
        raise BundleError(folder, f"{CALIBRATION}.num_deals", content.num_deals, rule, _WAY_OUT)
    _check_temperatures(folder, content.temperatures_K, len(step_flops))
    offsets = _read_offsets(folder, content, len(step_flops), num_labels)
    held_NK = entropy_NK
    if offsets is not None:
        if top_label_NK is None:
            rule = "thresholds by label need top_label_NK beside entropies and correctness"
            raise BundleError(folder, f"{CALIBRATION}.exit_rule", content.exit_rule, rule, _WAY_OUT)
        held_NK = offsets.less(entropy_NK, top_label_NK)
    grid = _read_grid(folder, content.grid, held_NK, correct_NK, step_flops)
    return Calibration(
        content.data,
        content.temperatures_K,
        entropy_NK,
        correct_NK,
        grid,
        top_label_NK,
        offsets,
        content.majority_share,
        content.exit_rule_choice,
        content.num_deals,
    )


def _read_none(folder: Path, content: CalibrationFile, step_flops: Sequence[int]) -> Calibration:
    _check_temperatures(folder, content.temperatures_K, len(step_flops))
    wanted = not_calibrated(step_flops, content.temperatures_K)
    found = [(point.budget_flops, point.thresholds_nats) for point in content.grid]
    if found != [(point.budget_flops, point.solution.thresholds_nats) for point in wanted.grid.points]:
        rule = f"without calibration there is one budget, the full cost of {sum(step_flops)}, and no step is the last"
        raise BundleError(folder, f"{CALIBRATION}.grid", found, rule, _WAY_OUT)
    return wanted


def _read_set(
    folder: Path, num_steps: int, num_labels: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int32] | None]:
    try:
        arrays = load(read_bytes(folder, CALIBRATION_SET))
    except SafetensorError as error:
        raise BundleError(folder, CALIBRATION_SET, str(error), "it must be safetensors", _WAY_OUT) from error
    found = {name: f"{array.dtype} {list(array.shape)}" for name, array in sorted(arrays.items())}
    num_videos = len(arrays["entropy_NK"]) if "entropy_NK" in arrays and arrays["entropy_NK"].ndim else 0
    shape = [max(num_videos, 1), num_steps]
    wanted = {"correct_NK": f"uint8 {shape}", "entropy_NK": f"float32 {shape}"}
    if found not in (wanted, {**wanted, "top_label_NK": f"int32 {shape}"}):
        rule = (
            "it must hold entropy_NK (float32), correct_NK (uint8) and, unless it is old, top_label_NK (int32), a row "
            f"per video, {num_steps} columns (steps)"
        )
        raise BundleError(folder, CALIBRATION_SET, found, rule, _WAY_OUT)
    entropy_NK, correct_NK = arrays["entropy_NK"], arrays["correct_NK"]
    highest = math.log(num_labels) + 1e-3  # rounding
    if not ((entropy_NK >= 0) & (entropy_NK <= highest)).all():
        worst = (float(entropy_NK.min()), float(entropy_NK.max()))
        rule = f"entropies over {num_labels} labels lie in [0, ln {num_labels}]"
        raise BundleError(folder, f"{CALIBRATION_SET}.entropy_NK (least, greatest)", worst, rule, _WAY_OUT)
    if correct_NK.max() > 1:
        rule = "correctness is 0 or 1"
        raise BundleError(folder, f"{CALIBRATION_SET}.correct_NK", int(correct_NK.max()), rule, _WAY_OUT)
    top_label_NK = arrays.get("top_label_NK")
    if top_label_NK is not None and not ((top_label_NK >= 0) & (top_label_NK < num_labels)).all():
        worst = (int(top_label_NK.min()), int(top_label_NK.max()))
        rule = f"labels are numbered from 0 to {num_labels - 1}"
        raise BundleError(folder, f"{CALIBRATION_SET}.top_label_NK (least, greatest)", worst, rule, _WAY_OUT)
    return entropy_NK, correct_NK.astype(np.bool_), top_label_NK


def _read_offsets(folder: Path, content: CalibrationFile, num_steps: int, num_labels: int) -> LabelOffsets | None:
    nats = content.label_offsets_nats
    field = f"{CALIBRATION}.label_offsets_nats"
    if (nats is None) != (content.exit_rule == "entropy"):
        rule = f"exit_rule is {content.exit_rule}, and the rule entropy_by_label has offsets where entropy has none"
        raise BundleError(folder, field, nats, rule, _WAY_OUT)
    if nats is None:
        return None
    if [len(row) for row in nats] != [num_labels] * (num_steps - 1):
        rule = f"there must be {num_steps - 1} rows, one per step but the last, of {num_labels} labels"
        raise BundleError(folder, field, [len(row) for row in nats], rule, _WAY_OUT)
    try:
        return LabelOffsets(nats)
    except ValueError as error:
        raise BundleError(folder, field, nats, str(error), _WAY_OUT) from error


def _check_temperatures(folder: Path, temperatures_K: Sequence[float], num_steps: int) -> None:
    if len(temperatures_K) != num_steps or min(temperatures_K) <= 0:
        rule = f"there must be {num_steps}, one per step, all above 0"
        raise BundleError(folder, f"{CALIBRATION}.temperatures_K", list(temperatures_K), rule, _WAY_OUT)


def _read_grid(
    folder: Path,
    solved: Sequence[SolvedBudget],
    entropy_NK: NDArray[np.float32],
    correct_NK: NDArray[np.bool_],
    step_flops: Sequence[int],
) -> BudgetGrid:
    budgets = [point.budget_flops for point in solved]
    least, full = step_flops[0], sum(step_flops)
    if budgets != sorted(set(budgets)) or (budgets[0], budgets[-1]) != (least, full):
        rule = f"budgets must rise from the price of the first step, {least}, to the full cost, {full}"
        raise BundleError(folder, f"{CALIBRATION}.grid budgets_flops", budgets, rule, _WAY_OUT)
    points = []
    for i, point in enumerate(solved):
        field = f"{CALIBRATION}.grid.{i}.thresholds_nats"
        if len(point.thresholds_nats) != len(step_flops) - 1:
            rule = f"there must be {len(step_flops) - 1}, one per step but the last"
            raise BundleError(folder, field, point.thresholds_nats, rule, _WAY_OUT)
        # The full cost buys all steps, also of a bundle that was made before that was a rule.
        thresholds = point.thresholds_nats if point.budget_flops < full else (NEVER_NATS,) * (len(step_flops) - 1)
        solution = evaluate(entropy_NK, correct_NK, step_flops, thresholds)
        if solution.mean_cost_flops > point.budget_flops:
            rule = (
                f"on the stored calibration set they cost {solution.mean_cost_flops:.0f} FLOPs on average, "
                f"more than their budget of {point.budget_flops}"
            )
            raise BundleError(folder, field, point.thresholds_nats, rule, _WAY_OUT)
        points.append(GridPoint(point.budget_flops, solution))
    return BudgetGrid(tuple(points))
