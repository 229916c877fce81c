"""How many windows of a camera are looked at in a time."""

from hypothesis import given
from hypothesis import strategies as st

from service.streams.pace import BURST, Pace


@given(st.lists(st.floats(0.0, 3.0), max_size=200), st.floats(0.1, 5.0))
def test_there_is_never_more_than_one_a_stride_and_a_burst(gaps_s: list[float], stride_s: float) -> None:
    pace, now_s, taken, began_s = Pace(stride_s), 100.0, 0, 100.0
    for gap_s in gaps_s:
        now_s += gap_s
        if pace.wait_s(now_s) == 0.0:
            pace.take(now_s)
            taken += 1
    assert taken <= BURST + (now_s - began_s) / stride_s + 1e-6


def test_one_a_stride_never_waits() -> None:
    pace = Pace(0.5)
    for number in range(1000):
        now_s = 7.0 + 0.5 * number
        assert pace.wait_s(now_s) == 0.0
        pace.take(now_s)


def test_a_fast_camera_waits_for_the_next_stride() -> None:
    pace = Pace(2.0)
    for _ in range(int(BURST)):
        pace.take(1.0)
    assert pace.wait_s(1.0) == 2.0
    assert pace.wait_s(2.5) == 0.5
    assert pace.wait_s(3.0) == 0.0
