"""What the solver of Eq. 7 promises on any calibration set, however odd."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.exit_rules import MAX_OFFSET_NATS
from models.smoothed_correctness import smoothed_correctness
from models.threshold_levels import WORTH_UNIT
from models.threshold_solver import geometric, solve_grid
from models.thresholds import ALWAYS_NATS, NEVER_NATS, entropy_nats, evaluate, exit_steps


@st.composite
def calibration_sets(draw, min_steps=1, max_steps=6, max_videos=24):
    """Entropies (few distinct values: ties are the rule), correctness and prices."""
    num_steps = draw(st.integers(min_steps, max_steps))
    num_videos = draw(st.integers(1, max_videos))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    distinct = draw(st.sampled_from([1, 2, 5, 1000]))
    entropy_NK = (rng.integers(0, distinct, (num_videos, num_steps)) / distinct).astype(np.float32)
    correct_NK = rng.random((num_videos, num_steps)) < draw(st.sampled_from([0.0, 0.3, 0.7, 1.0]))
    costs = tuple(draw(st.lists(st.integers(1, 50), min_size=num_steps, max_size=num_steps)))
    return entropy_NK, correct_NK, costs


@given(calibration_sets(), st.floats(0, 1), st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_realised_mean_cost_keeps_to_every_budget_in_range(videos, share, smooth):
    entropy_NK, correct_NK, costs = videos
    budget = costs[0] + share * (sum(costs) - costs[0])
    worth_NK = smoothed_correctness(entropy_NK, correct_NK) if smooth else None
    solution = solve_grid(entropy_NK, correct_NK, costs, worth_NK=worth_NK).at(budget)
    assert solution == evaluate(entropy_NK, correct_NK, costs, solution.thresholds_nats)
    assert solution.mean_cost_flops <= budget


@given(calibration_sets(), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_the_realised_mean_cost_keeps_to_every_budget_whatever_is_subtracted_from_the_entropies(videos, seed):
    entropy_NK, correct_NK, costs = videos
    offset_NK = np.random.default_rng(seed).uniform(-MAX_OFFSET_NATS, MAX_OFFSET_NATS, entropy_NK.shape)
    for point in solve_grid(entropy_NK, correct_NK, costs, offset_NK=offset_NK).points:
        held_NK = (entropy_NK - offset_NK).astype(np.float32)
        assert point.solution == evaluate(held_NK, correct_NK, costs, point.solution.thresholds_nats)
        assert point.solution.mean_cost_flops <= point.budget_flops


@given(calibration_sets(), st.booleans())
@settings(max_examples=50, deadline=None)
def test_a_budget_at_or_above_the_full_cost_buys_all_steps(videos, smooth):
    entropy_NK, correct_NK, costs = videos
    worth_NK = smoothed_correctness(entropy_NK, correct_NK) if smooth else None
    grid = solve_grid(entropy_NK, correct_NK, costs, worth_NK=worth_NK)
    for budget in (sum(costs), 2 * sum(costs)):
        assert grid.at(budget).thresholds_nats == (NEVER_NATS,) * (len(costs) - 1)
        assert grid.at(budget).mean_cost_flops == sum(costs)


@given(calibration_sets())
@settings(max_examples=100, deadline=None)
def test_searched_by_worth_worth_never_falls_as_the_budget_grows_nor_below_the_geometric_family(videos):
    entropy_NK, correct_NK, costs = videos
    worth_NK = smoothed_correctness(entropy_NK, correct_NK)

    def worth(thresholds):
        return worth_NK[np.arange(len(worth_NK)), exit_steps(entropy_NK, thresholds)].mean()

    points = solve_grid(entropy_NK, correct_NK, costs, worth_NK=worth_NK).points[:-1]
    found = [worth(point.solution.thresholds_nats) for point in points]
    rounding = 1.01 / WORTH_UNIT
    assert all(later >= earlier - rounding for earlier, later in itertools.pairwise(found))
    for point, value in zip(points, found, strict=True):
        assert value >= worth(geometric(*videos, point.budget_flops).thresholds_nats) - rounding


@given(calibration_sets())
@settings(max_examples=150, deadline=None)
def test_below_the_full_cost_accuracy_is_never_below_the_geometric_family_and_never_falls_as_budgets_grow(videos):
    points = solve_grid(*videos).points[:-1]
    for point in points:
        warm = geometric(*videos, point.budget_flops)
        assert warm.mean_cost_flops <= point.budget_flops
        assert point.solution.accuracy >= warm.accuracy
    accuracies = [point.solution.accuracy for point in points]
    assert accuracies == sorted(accuracies)


@given(calibration_sets(max_steps=3, max_videos=8))
@settings(max_examples=60, deadline=None)
def test_up_to_three_exits_nothing_beats_it(videos):
    entropy_NK, _, costs = videos
    candidates = [[NEVER_NATS, *np.unique(entropy_NK[:, k]).tolist()] for k in range(len(costs) - 1)]
    everything = [evaluate(*videos, thresholds) for thresholds in itertools.product(*candidates)]
    for point in solve_grid(*videos).points[:-1]:
        affordable = [s.accuracy for s in everything if s.mean_cost_flops <= point.budget_flops]
        assert point.solution.accuracy == max(affordable)


@given(calibration_sets())
@settings(max_examples=50, deadline=None)
def test_the_grid_runs_from_the_price_of_a_glance_to_the_full_cost(videos):
    costs = videos[2]
    grid = solve_grid(*videos)
    assert (grid.least_flops, grid.full_flops) == (costs[0], sum(costs))
    assert grid.points[-1].solution.accuracy == pytest.approx(videos[1][:, -1].mean())


@given(calibration_sets(min_steps=2))
@settings(max_examples=50, deadline=None)
def test_at_the_price_of_a_glance_a_video_less_certain_than_any_seen_stops_at_the_glance_too(videos):
    costs = videos[2]
    thresholds = solve_grid(*videos).at(costs[0]).thresholds_nats
    unseen_NK = np.full((1, len(costs)), 10.0, dtype=np.float32)
    assert exit_steps(unseen_NK, thresholds).tolist() == [0]


@given(calibration_sets(min_steps=2))
@settings(max_examples=50, deadline=None)
def test_no_threshold_sits_on_an_entropy_so_that_rounding_elsewhere_moves_nobody(videos):
    for point in solve_grid(*videos).points:
        for k, threshold in enumerate(point.solution.thresholds_nats):
            assert threshold not in videos[0][:, k]


def test_more_than_three_exits_come_close_to_the_optimum():
    rng = np.random.default_rng(7)
    hardness_N = rng.random(60)
    steps_K = np.arange(4)
    sureness_NK = 1 - hardness_N[:, None] * 0.8**steps_K
    entropy_NK = np.clip(1.5 - sureness_NK + rng.normal(0, 0.1, (60, 4)), 0, None).astype(np.float32)
    correct_NK = rng.random((60, 4)) < sureness_NK
    costs = (10, 5, 5, 5)
    levels = [np.quantile(entropy_NK[:, k], np.linspace(0, 1, 31)).tolist() for k in range(3)]
    tried = [
        evaluate(entropy_NK, correct_NK, costs, t) for t in itertools.product(*([NEVER_NATS, *lv] for lv in levels))
    ]
    for point in solve_grid(entropy_NK, correct_NK, costs, num_budgets=6).points[:-1]:
        best = max(s.accuracy for s in tried if s.mean_cost_flops <= point.budget_flops)
        assert point.solution.accuracy >= best - 2.01 / 60  # two videos


def test_saturated_logits_make_no_nan_and_the_surest_leave_first():
    logits_NKC = np.zeros((4, 2, 3))
    logits_NKC[:2, :, 0] = 1e30
    entropy_NK = entropy_nats(logits_NKC).astype(np.float32)
    correct_NK = np.array([[True, True], [True, True], [False, True], [False, True]])
    solution = solve_grid(entropy_NK, correct_NK, (10, 10)).at(15)
    assert exit_steps(entropy_NK, solution.thresholds_nats).tolist() == [0, 0, 1, 1]
    assert solution.accuracy == 1.0


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_videos_of_equal_entropy_stop_together(value):
    entropy_NK = np.full((5, 2), value, dtype=np.float32)
    correct_NK = np.array([[False, True]] * 5)
    grid = solve_grid(entropy_NK, correct_NK, (10, 10))
    assert grid.at(19).mean_cost_flops == 10  # four of five would fit, but they cannot be told apart
    assert grid.at(19).thresholds_nats == (ALWAYS_NATS,)
    assert grid.at(20).thresholds_nats == (NEVER_NATS,)


def test_a_fixed_cost_model_has_one_budget_and_no_threshold():
    grid = solve_grid(np.ones((3, 1), np.float32), np.array([[True], [False], [True]]), (10,))
    assert [point.budget_flops for point in grid.points] == [10]
    assert grid.at(10).thresholds_nats == ()


@pytest.mark.parametrize(
    ("entropy_NK", "correct_NK", "costs", "message"),
    [
        (np.zeros((0, 2), np.float32), np.zeros((0, 2), bool), (1, 1), "at least one"),
        (np.zeros((3, 2), np.float32), np.zeros((3, 2), bool), (1, 1, 1), "do not fit 3 prices"),
        (np.zeros((3, 2), np.float32), np.zeros((2, 2), bool), (1, 1), "do not fit"),
        (np.full((3, 2), np.nan, np.float32), np.zeros((3, 2), bool), (1, 1), "NaN"),
        (np.full((3, 2), -0.1, np.float32), np.zeros((3, 2), bool), (1, 1), "negative"),
        (np.zeros((3, 2)), np.zeros((3, 2), bool), (1, 1), "not float32"),
        (np.zeros((3, 2), np.float32), np.zeros((3, 2), bool), (1, 0), "above 0"),
    ],
)
def test_a_calibration_set_that_makes_no_sense_is_refused(entropy_NK, correct_NK, costs, message):
    with pytest.raises(ValueError, match=message):
        solve_grid(entropy_NK, correct_NK, costs)
