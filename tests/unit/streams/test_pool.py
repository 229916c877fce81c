"""The budget that cameras share: never overdrawn, fair, and lent from quiet to busy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine.lanes import Owner
from service.streams.pool import BURST_S, Pool

GLANCE, FULL = 400, 1000


def pool(rate: float | None, *cameras: str) -> Pool:
    made = Pool(rate)
    for camera in cameras:
        made.join(camera, 0.0)
    return made


def test_without_a_rate_everything_is_granted() -> None:
    assert pool(None, "a").borrow("a", GLANCE, FULL, 0.0) == FULL


def test_a_window_gets_what_there_is_but_never_less_than_a_glance() -> None:
    shared = pool(1000.0, "a")
    assert shared.borrow("a", GLANCE, FULL, 0.1) is None
    assert shared.borrow("a", GLANCE, FULL, 0.5) == 500
    assert shared.borrow("a", GLANCE, FULL, 0.6) is None


def test_what_a_window_left_unspent_is_given_back() -> None:
    shared = pool(1000.0, "a")
    assert shared.borrow("a", GLANCE, FULL, 1.0) == FULL
    shared.settle("a", 400)
    assert shared.borrow("a", GLANCE, FULL, 1.0) == 600


def test_quiet_cameras_lend_to_a_busy_one() -> None:
    """Three of four never come near their share; the fourth gets the rest of the pool."""
    shared = pool(4000.0, "busy", "b", "c", "d")
    spent = 0
    for tenth in range(600):
        now_s = tenth / 10
        granted = shared.borrow("busy", GLANCE, FULL, now_s)
        if granted is not None:
            shared.settle("busy", granted)
            spent += granted
    assert spent > 0.75 * 4000 * 60 / 1.05
    assert shared.borrow("b", GLANCE, FULL, 60.0) == FULL  # and the quiet ones still have their own


def test_a_camera_that_leaves_takes_its_share_along() -> None:
    shared = pool(1000.0, "a", "b")
    shared.leave("b")
    assert shared.borrow("a", GLANCE, FULL, 1.0) == FULL
    shared.settle("b", 0)  # its last window ends after it left


@given(
    st.floats(500, 50_000),
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2), st.floats(0, 1)), max_size=100),
)
def test_all_cameras_together_never_spend_more_than_the_rate(
    rate: float, story: list[tuple[str, float, float]]
) -> None:
    shared, now_s, spent = pool(rate, "a", "b", "c"), 0.0, 0
    for camera, later_s, share in story:
        now_s += later_s
        granted = shared.borrow(camera, GLANCE, FULL, now_s)
        if granted is not None:
            assert GLANCE <= granted <= FULL
            used = max(GLANCE, int(granted * share))
            shared.settle(camera, used)
            spent += used
        assert spent <= rate * now_s + 1e-6 * rate
    assert spent <= rate * (now_s + 2 * BURST_S)


@pytest.mark.parametrize("num_cameras", [1, 32])
def test_a_share_smaller_than_a_glance_still_gives_windows_from_time_to_time(num_cameras: int) -> None:
    names = [f"camera {number}" for number in range(num_cameras)]
    shared = pool(float(GLANCE), *names)
    served = set()
    for second in range(200):
        for turn in range(num_cameras):
            name = names[(turn + second) % num_cameras]
            if shared.borrow(name, GLANCE, FULL, float(second)) is not None:
                served.add(name)
                shared.settle(name, GLANCE)
    assert served == set(names)


def test_owners_share_the_rate_by_weight_and_an_owners_cameras_its_part() -> None:
    """A greedy owner's four cameras get together what a modest one's single camera gets."""
    shared = Pool(2000.0)
    for name in ("g1", "g2", "g3", "g4"):
        shared.join(name, 0.0, Owner("greedy"))
    shared.join("m", 0.0, Owner("modest"))
    assert shared.borrow("m", 1, 10_000, 1.0) == 1000
    assert [shared.borrow(name, 1, 10_000, 1.0) for name in ("g1", "g2", "g3", "g4")] == [250] * 4
    weighted = Pool(2000.0)
    weighted.join("a", 0.0, Owner("a", 3.0))
    weighted.join("b", 0.0, Owner("b"))
    assert (weighted.borrow("a", 1, 10_000, 1.0), weighted.borrow("b", 1, 10_000, 1.0)) == (1500, 500)
