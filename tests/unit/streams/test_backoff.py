"""When a camera is tried again: soon, then ever later, never hammering."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fovea.words import ErrorClass
from service.streams.backoff import QUICK_FOR_S, SLOW, STEADY_S, Backoff

CAP_S, AUTH_S = 15.0, 120.0


def backoff() -> Backoff:
    return Backoff(CAP_S, AUTH_S, random.Random(1))


def waits(error_class: ErrorClass, until_s: float) -> list[tuple[float, float]]:
    """(when, wait) of an outage in which every try fails at once."""
    tries, now_s, waiting = [], 1000.0, backoff()
    while now_s < 1000 + until_s:
        wait_s = waiting.lost(error_class, now_s)
        tries.append((now_s - 1000, wait_s))
        now_s += wait_s
    return tries


def test_in_the_first_half_minute_the_next_try_is_less_than_a_second_away() -> None:
    tries = waits(ErrorClass.REFUSED, QUICK_FOR_S)
    assert all(wait_s <= 0.7 for _, wait_s in tries)
    assert 30 / 0.7 <= len(tries) <= 70  # and yet it is no hammering


def test_then_waits_grow_to_the_cap_and_stay_there() -> None:
    late = [wait_s for now_s, wait_s in waits(ErrorClass.REFUSED, 600) if now_s > QUICK_FOR_S]
    assert late[0] >= 0.75 * QUICK_FOR_S / 3
    assert max(late) <= CAP_S
    assert min(late[3:]) >= 0.75 * CAP_S


@pytest.mark.parametrize("error_class", [ErrorClass.NOT_FOUND, ErrorClass.STALLED, ErrorClass.CRASHED, ErrorClass.DNS])
def test_what_passes_by_itself_is_tried_soon(error_class: ErrorClass) -> None:
    assert backoff().lost(error_class, 0) < 1


def test_a_wrong_password_waits_for_minutes_from_the_start() -> None:
    assert all(0.75 * AUTH_S <= wait_s <= AUTH_S for _, wait_s in waits(ErrorClass.AUTH, 1000))


@pytest.mark.parametrize("error_class", sorted(SLOW))
def test_what_a_person_must_mend_waits_for_the_cap(error_class: ErrorClass) -> None:
    assert 0.75 * CAP_S <= backoff().lost(error_class, 0) <= CAP_S


def test_a_camera_that_was_steady_starts_anew_and_a_flapping_one_does_not() -> None:
    steady, flapping = backoff(), backoff()
    for waiting, up_s in ((steady, STEADY_S + 1), (flapping, 1.0)):
        now_s = 0.0
        for _ in range(60):
            waiting.live(now_s)
            now_s += up_s
            now_s += waiting.lost(ErrorClass.ENDED, now_s)
    assert steady.attempts == 1
    assert flapping.attempts == 60
    assert flapping.lost(ErrorClass.ENDED, 1e6) > 5


@given(st.lists(st.tuples(st.sampled_from(ErrorClass), st.floats(0, 100), st.booleans()), max_size=50))
def test_every_wait_lies_between_a_moment_and_the_longest(story: list[tuple[ErrorClass, float, bool]]) -> None:
    waiting, now_s = backoff(), 0.0
    for error_class, later_s, was_live in story:
        now_s += later_s
        if was_live:
            waiting.live(now_s)
        wait_s = waiting.lost(error_class, now_s)
        assert 0.15 <= wait_s <= (AUTH_S if error_class is ErrorClass.AUTH else CAP_S)
