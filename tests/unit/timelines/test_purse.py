"""One budget for a whole video."""

from hypothesis import given
from hypothesis import strategies as st

from service.timelines.purse import Purse


def test_without_a_budget_every_look_gets_what_it_asks_for() -> None:
    purse = Purse(None)
    assert purse.grant(10, 1000) == 1000


def test_a_look_gets_no_more_than_the_video_so_far_has_earned() -> None:
    purse = Purse(100.0)
    purse.reach(2.0)
    assert purse.grant(50, 1000) == 200
    purse.spend(200)
    assert purse.grant(50, 1000) is None
    purse.reach(4.0)
    assert purse.grant(50, 120) == 120


def test_what_is_kept_for_others_is_not_granted() -> None:
    purse = Purse(100.0)
    purse.reach(2.0)
    assert purse.grant(50, 1000, kept_flops=120) == 80
    assert purse.grant(50, 1000, kept_flops=160) is None


def test_going_back_in_the_video_takes_nothing_away() -> None:
    purse = Purse(100.0)
    purse.reach(3.0)
    purse.reach(1.0)
    assert purse.grant(1, 1000) == 300


@given(rate=st.floats(1, 1e6), looks=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 10**6)), max_size=30))
def test_what_is_spent_never_passes_what_was_earned(rate: float, looks: list[tuple[float, int]]) -> None:
    purse, reached_s = Purse(rate), 0.0
    for time_s, wanted in looks:
        reached_s = max(reached_s, time_s)
        purse.reach(time_s)
        if (granted := purse.grant(1, wanted)) is not None:
            purse.spend(granted)
        assert purse.spent_flops <= rate * reached_s
