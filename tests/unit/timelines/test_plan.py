"""Where the windows of a video lie."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.errors import BudgetTooSmall, InvalidOption
from service.engine.request import Plan
from service.timelines.plan import MAX_WINDOWS, TimelineOptions, TimelinePlan, lay

LOOK = Plan("tiny", (100,), (), 100, None, None, 5)
PLAN = TimelinePlan(TimelineOptions(window_s=4.0, stride_s=1.0), LOOK, num_frames=16)


def asked(window_s: float, stride_s: float | None = None) -> TimelinePlan:
    return replace(PLAN, options=TimelineOptions(window_s=window_s, stride_s=stride_s))


def test_a_stride_that_is_left_out_is_a_quarter_of_a_window() -> None:
    assert lay(asked(8.0), 60.0).stride_s == 2.0
    assert lay(asked(8.0), 2.0).stride_s == 0.5  # the window is the video then


def test_a_window_longer_than_the_video_is_the_video() -> None:
    grid = lay(asked(10.0, 1.0), 3.0)
    assert (grid.window_s, grid.num_windows, grid.first_cell(0)) == (3.0, 1, 0)


def test_the_last_window_ends_with_the_video() -> None:
    grid = lay(PLAN, 10.6)
    last = grid.first_cell(grid.num_windows - 1)
    assert (last + grid.num_frames) * float(grid.cell_s) == pytest.approx(10.6, abs=float(grid.cell_s))


def test_windows_may_be_apart() -> None:
    grid = lay(asked(1.0, 5.0), 20.0)
    assert (grid.stride_s, [grid.first_cell(number) for number in range(grid.num_windows)]) == (
        5.0,
        [0, 80, 160, 240, 304],
    )


def test_more_windows_than_are_told_are_refused_with_the_least_stride() -> None:
    with pytest.raises(InvalidOption, match=r"stride_s=0\.01 .* at least 0\.144"):
        lay(asked(1.0, 0.01), 14_400.0)
    assert lay(asked(1.0, 0.25), 14_400.0).num_windows <= MAX_WINDOWS


def test_a_rate_that_comes_to_less_than_a_glance_in_all_of_the_video_is_refused_with_the_least_rate() -> None:
    def paying(flops_per_s: int) -> TimelinePlan:
        return replace(PLAN, options=replace(PLAN.options, budget_flops_per_s=flops_per_s))

    assert lay(paying(2), 50.0) == lay(PLAN, 50.0), "100 in all, which is a glance, if less than one in a window's time"
    told = r"comes to 9\.8e-08 GFLOPs in 49 s .* less than the first step"
    with pytest.raises(BudgetTooSmall, match=told) as refused:
        lay(paying(2), 49.0)
    least_flops_per_s = round(float(str(refused.value.extra["least_gflops_per_s"])) * 1e9)
    assert lay(paying(least_flops_per_s), 49.0).num_windows > 1
    with pytest.raises(BudgetTooSmall):
        lay(paying(least_flops_per_s - 1), 49.0)


@given(budget_flops=st.integers(1, 10**14), duration_s=st.floats(0.1, 20_000))
def test_all_of_a_video_earns_all_of_its_budget_and_no_more(budget_flops: int, duration_s: float) -> None:
    flops_per_s = replace(PLAN, options=TimelineOptions(budget_flops=budget_flops)).flops_per_s(duration_s)
    assert flops_per_s is not None
    assert int(flops_per_s * duration_s) == budget_flops


@given(window_s=st.floats(0.2, 100), stride_s=st.floats(0.1, 100), duration_s=st.floats(0.01, 500))
def test_windows_go_forward_and_stay_in_the_video(window_s: float, stride_s: float, duration_s: float) -> None:
    grid = lay(asked(window_s, stride_s), duration_s)
    firsts = [grid.first_cell(number) for number in range(grid.num_windows)]
    assert firsts[0] == 0
    assert all(one < other for one, other in pairwise(firsts))
    assert firsts[-1] + grid.num_frames == grid.num_cells
