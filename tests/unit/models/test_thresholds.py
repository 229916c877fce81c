"""The exit rule of Eq. 7 and the numbers it stands on."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from models.thresholds import (
    ALWAYS_NATS,
    NEVER_NATS,
    BudgetGrid,
    GridPoint,
    Solution,
    entropy_nats,
    evaluate,
    exit_steps,
    log_softmax,
)


@given(
    npst.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.integers(2, 9)),
        elements=st.floats(-(2.0**127), 2.0**127, width=32, allow_subnormal=False),
    )
)
def test_entropy_of_any_finite_logits_lies_between_0_and_ln_c(logits_NC):
    entropy_N = entropy_nats(logits_NC)
    assert np.isfinite(entropy_N).all()
    assert (entropy_N >= 0).all()
    assert (entropy_N <= math.log(logits_NC.shape[1]) + 1e-9).all()


def test_the_surest_video_has_entropy_0_where_the_textbook_formula_says_nan():
    logits_C = np.array([0.0, 200.0, -200.0], dtype=np.float32)
    with np.errstate(all="ignore"):
        p = np.exp(logits_C - logits_C.max())
        assert np.isnan(-(p * np.log(p)).sum())
    assert entropy_nats(logits_C) == pytest.approx(0.0, abs=1e-12)
    assert log_softmax(logits_C)[2] == -400.0


def test_entropy_is_in_nats():
    assert entropy_nats(np.zeros(200)) == pytest.approx(math.log(200))


def test_a_video_stops_at_the_first_step_at_or_below_its_threshold():
    entropy_NK = np.array([[0.5, 0.1, 0.1], [0.6, 0.2, 0.0], [0.6, 0.3, 9.0]], dtype=np.float32)
    assert exit_steps(entropy_NK, (0.5, np.float32(0.2))).tolist() == [0, 1, 2]


def test_never_holds_back_even_an_entropy_of_0_and_always_lets_go_of_every_label_list():
    entropy_NK = np.array([[0.0, 0.0], [math.log(1e6), 0.0]], dtype=np.float32)
    assert exit_steps(entropy_NK, (NEVER_NATS,)).tolist() == [1, 1]
    assert exit_steps(entropy_NK, (ALWAYS_NATS,)).tolist() == [0, 0]


def test_a_video_is_charged_for_every_step_it_took_and_judged_by_its_last():
    entropy_NK = np.array([[0.1, 0.0], [0.9, 0.0]], dtype=np.float32)
    correct_NK = np.array([[True, False], [False, True]])
    assert evaluate(entropy_NK, correct_NK, (10, 4), (0.5,)) == Solution((0.5,), mean_cost_flops=12.0, accuracy=1.0)


GRID = BudgetGrid(
    tuple(GridPoint(budget, Solution((float(budget),), float(budget), 0.5)) for budget in (100, 150, 200))
)


@pytest.mark.parametrize(
    ("budget", "held"), [(100, 100), (149, 100), (150, 150), (199.9, 150), (200, 200), (10**12, 200), (math.inf, 200)]
)
def test_between_grid_points_the_lower_one_holds_and_the_top_one_above_all(budget, held):
    assert GRID.at(budget).thresholds_nats == (float(held),)


@pytest.mark.parametrize("budget", [0, 99, -1, math.nan])
def test_a_budget_below_the_cheapest_answer_is_refused_naming_its_price(budget):
    with pytest.raises(ValueError, match="below the 100 FLOPs of the cheapest answer"):
        GRID.at(budget)
