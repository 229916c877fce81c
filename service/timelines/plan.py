"""What a timeline may do: which windows, what they may cost. Knows prices and lengths; no video and no HTTP."""

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction

from fovea.errors import BudgetTooSmall, InvalidOption
from fovea.words import Decode
from service.engine.budget import RecognitionOptions
from service.engine.pipeline import Pipeline
from service.engine.request import Plan
from service.streams.subscription import cell_s, stride_cells

LEAST_CELL_S = 0.01  # a hundred pictures a second
MAX_WINDOWS = 100_000  # of one video; each may be a segment of its own


@dataclass(frozen=True, slots=True)
class TimelineOptions:
    """What a client asked for, each value of the right type and range by itself.

    `each.budget_flops` and `each.max_flops` hold for one look; `budget_flops` or `budget_flops_per_s` for all of them.
    """

    each: RecognitionOptions = field(default_factory=RecognitionOptions)
    window_s: float = 4.0
    stride_s: float | None = None  # None: a quarter of a window
    merge: bool = True
    decode: Decode = Decode.AUTO
    budget_flops: int | None = None
    budget_flops_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class TimelinePlan:
    """All settled but what the video's length decides."""

    options: TimelineOptions
    look: Plan  # of one window, whatever the budget for all
    num_frames: int  # of a window, the model's

    @property
    def stride_s(self) -> float:
        return self.options.window_s / 4 if self.options.stride_s is None else self.options.stride_s

    @property
    def deadline_s(self) -> float | None:
        """From the end of the upload."""
        deadline_ms = self.options.each.deadline_ms
        return None if deadline_ms is None else deadline_ms / 1000

    def flops_per_s(self, duration_s: float) -> float | None:
        """What each second of a video of that length may cost; None: no budget for all was asked for."""
        total, rate = self.options.budget_flops, self.options.budget_flops_per_s
        rates = [] if rate is None else [float(rate)]
        if total is not None:
            share = total / duration_s
            rates.append(share if share * duration_s >= total else math.nextafter(share, math.inf))
        return min(rates, default=None)


@dataclass(frozen=True, slots=True)
class WindowGrid:
    """Where a video's windows lie, in cells. A window that would be longer than the video is the video."""

    cell_s: Fraction
    num_frames: int
    stride_cells: int
    num_cells: int

    @property
    def window_s(self) -> float:
        return float(self.num_frames * self.cell_s)

    @property
    def stride_s(self) -> float:
        return float(self.stride_cells * self.cell_s)

    @property
    def num_windows(self) -> int:
        """The last one ends with the video, wherever the stride would have it."""
        return 1 + -(-(self.num_cells - self.num_frames) // self.stride_cells)

    def first_cell(self, window: int) -> int:
        return min(window * self.stride_cells, self.num_cells - self.num_frames)


SLACK_S = 1e-6  # of a half of a window that is not exact in binary


def num_within_half(window_s: float, stride_s: float) -> int:
    """How many windows before one, and how many behind it, begin within half a window of it."""
    return int((window_s / 2 + SLACK_S) / stride_s)


def settle(options: TimelineOptions, pipeline: Pipeline, *, max_window_s: float) -> TimelinePlan:
    """Raises InvalidOption, UnknownModel, BudgetTooSmall."""
    look = pipeline.plan(replace(options.each, deadline_ms=None))  # the deadline is the whole timeline's
    offer = pipeline.offer(look.model)
    plan = TimelinePlan(options, look, offer.clip_rule.num_frames)
    least_s = plan.num_frames * LEAST_CELL_S
    for name, seconds in (("window_s", options.window_s), ("stride_s", plan.stride_s)):
        if seconds > max_window_s:
            raise InvalidOption(f"{name}={seconds:g} is more than {max_window_s:g}; ask for at most that", option=name)
    if options.window_s < least_s:
        raise InvalidOption(
            f"window_s={options.window_s:g} is too short for {plan.num_frames} frames; ask for at least {least_s:g}",
            option="window_s",
        )
    _check_budget(plan)
    return plan


def lay(plan: TimelinePlan, duration_s: float) -> WindowGrid:
    """The windows of a video of that length.

    Raises InvalidOption where they are too many, BudgetTooSmall where all of it does not pay for a glance.
    """
    _check_budget(plan, duration_s)
    window_s = min(plan.options.window_s, max(duration_s, plan.num_frames * LEAST_CELL_S))
    length_s = cell_s(window_s, plan.num_frames)
    stride_s = window_s / 4 if plan.options.stride_s is None else plan.options.stride_s
    stride = stride_cells(min(stride_s, window_s), window_s, plan.num_frames)
    if stride_s > window_s:
        stride = max(1, round(Fraction(stride_s) / length_s))
    num_cells = max(plan.num_frames, round(Fraction(duration_s) / length_s))
    grid = WindowGrid(length_s, plan.num_frames, stride, num_cells)
    if grid.num_windows > MAX_WINDOWS:
        least_s = duration_s / MAX_WINDOWS
        raise InvalidOption(
            f"stride_s={stride_s:g} makes {grid.num_windows} windows of {duration_s:g} s of video, more than "
            f"{MAX_WINDOWS}; ask for at least {least_s:.3g}",
            option="stride_s",
        )
    return grid


def _check_budget(plan: TimelinePlan, duration_s: float = math.inf) -> None:
    """A budget for all that pays for no glance buys nothing; a rate is what it comes to in all of the video."""
    least_flops, model = plan.look.step_flops[0], plan.look.model
    total, rate = plan.options.budget_flops, plan.options.budget_flops_per_s
    if total is not None and total < least_flops:
        raise BudgetTooSmall.below_glance("budget_gflops", total / 1e9, model, least_flops / 1e9)
    if rate is not None and rate * duration_s < least_flops:
        least = math.ceil(least_flops / duration_s) / 1e9
        raise BudgetTooSmall(
            f"budget_gflops_per_s={rate / 1e9:g} comes to {rate * duration_s / 1e9:.4g} GFLOPs in {duration_s:g} s of "
            f"video, which pays for less than the first step of {model}: {least_flops / 1e9:g}; ask for at least "
            f"{least}",
            option="budget_gflops_per_s",
            least_gflops_per_s=least,
        )
