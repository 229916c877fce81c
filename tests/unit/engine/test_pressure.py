"""Budgets give way under pressure: one function, which never rises with the pressure and makes no load swing."""

from itertools import pairwise

from hypothesis import assume, given
from hypothesis import strategies as st

from service.engine.pressure import FULL_UP_TO, LEAST_FROM, Pressure, granted_flops

LADDERS = st.lists(st.integers(1, 10**12), min_size=1, max_size=16, unique=True).map(sorted)
PRESSURES = st.floats(0, 1)


@given(LADDERS, PRESSURES, PRESSURES)
def test_more_pressure_never_grants_more(levels, one, other):
    budget = levels[-1] + 5
    low, high = sorted((one, other))
    assert granted_flops(high, budget, levels) <= granted_flops(low, budget, levels)


@given(LADDERS, PRESSURES)
def test_what_is_granted_is_the_budget_or_a_level_below_it(levels, pressure):
    budget = levels[-1] + 5
    assert granted_flops(pressure, budget, levels) in {*levels[:-1], budget}


@given(LADDERS, st.floats(0, FULL_UP_TO), st.floats(LEAST_FROM, 1))
def test_at_rest_all_is_granted_and_under_full_pressure_the_least(levels, rest, full):
    budget = levels[-1]
    assert granted_flops(rest, budget, levels) == budget
    assert granted_flops(full, budget, levels) == levels[0]


@given(LADDERS, PRESSURES)
def test_a_larger_budget_is_never_granted_less(levels, pressure):
    assume(len(levels) > 1)
    granted = [granted_flops(pressure, levels[n], levels[: n + 1]) for n in range(len(levels))]
    assert all(less <= more for less, more in pairwise(granted))


@given(PRESSURES)
def test_a_request_with_no_level_below_its_budget_keeps_it(pressure):
    assert granted_flops(pressure, 70, [50]) == 70


def test_a_burst_that_is_over_at_once_changes_nothing():
    pressure = Pressure()
    pressure.note(0.0, 0.0)
    assert pressure.note(1.0, 0.01) < FULL_UP_TO
    assert pressure.note(0.0, 10.0) < 0.01


def test_what_lasts_counts_in_full():
    pressure = Pressure()
    pressure.note(0.0, 0.0)
    for tenth in range(1, 101):
        felt = pressure.note(0.9, tenth / 10)
    assert felt > 0.89


@given(
    least=st.integers(300, 950),
    gap=st.integers(30, 300),
    share=st.floats(0.5, 0.97),
    max_wait_s=st.floats(1.0, 10.0),
)
def test_a_steady_load_that_smaller_budgets_make_room_for_settles_without_a_swing_and_without_a_refusal(
    least, gap, share, max_wait_s
):
    """`share`: of what the service can do where all are granted the least. A queue in tenths of a second."""
    levels = sorted({least, *range(1000 - gap, least, -gap), 1000})
    offered = share * 1000 / least  # work that comes in a second at full budgets, over what is done in one
    step_s, waiting_s, pressure = 0.1, 0.0, Pressure()
    granted, waits_s = [], []
    for tick in range(2400):
        felt = pressure.note(waiting_s / max_wait_s, tick * step_s)
        granted.append(granted_flops(felt, 1000, levels))
        waiting_s = max(0.0, waiting_s + (offered * granted[-1] / 1000 - 1) * step_s)
        waits_s.append(waiting_s)
    places = {levels.index(one) for one in granted[1200:]}
    assert max(places) - min(places) <= 1, "at most between two neighbours: what fits lies between them"
    assert max(waits_s[1200:]) < max_wait_s
