"""Whose time pictures get: the camera's, until there is evidence against it."""

import random
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import pytest

from fovea.words import Clock
from video.camera.clock import AHEAD_S, MAX_BREAKS, StreamClock

FPS = 10
START_S = 5000.0

CameraTime = Callable[[int], float | None]


def played(
    camera_s: CameraTime,
    seconds: float,
    asked: Clock = Clock.AUTO,
    delay_s: Callable[[int], float] = lambda number: 0.0,
) -> tuple[StreamClock, list[Fraction], list[float], int]:
    """The clock, the stream time of each packet, its age as told, and how often an epoch began."""
    clock, times, ages, breaks = StreamClock(asked), list[Fraction](), list[float](), 0
    arrived_s = START_S
    for number in range(round(seconds * FPS)):
        told = camera_s(number)
        exact = None if told is None else Fraction(told).limit_denominator(90_000)
        arrived_s = max(arrived_s, START_S + number / FPS + delay_s(number))  # none overtakes another
        breaks += clock.take(exact, arrived_s, True)
        time_s = clock.time_s(exact)
        if time_s is not None:
            times.append(time_s)
            ages.append(arrived_s - clock.arrival_s(time_s))
    return clock, times, ages, breaks


def steady(number: int) -> float:
    return number / FPS


def jittery(number: int) -> float:
    return random.Random(number).uniform(0.0, 0.3)


WRONG: dict[str, CameraTime] = {
    "slow by a sixth": lambda number: 0.84 * steady(number),
    "slow by a twentieth": lambda number: 0.95 * steady(number),
    "fast by a twentieth": lambda number: 1.05 * steady(number),
    "ten times as fast": lambda number: 10 * steady(number),
    "a hundred times as fast": lambda number: 100 * steady(number),
    "constant": lambda number: 7.0,
    "none": lambda number: None,
    "none after a while": lambda number: steady(number) if number < 50 else None,
    "random": lambda number: random.Random(number).uniform(0, 47_000),
    "starting again": lambda number: steady(number % 150),
    "an hour ahead now and then": lambda number: steady(number) + 3600 * (number // 100),
    "four seconds ahead now and then": lambda number: steady(number) + 4 * (number // 50),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
@pytest.mark.parametrize("delay_s", [lambda number: 0.0, jittery], ids=["steady network", "jittery network"])
def test_a_clock_that_is_wrong_gives_way_to_arrival(wrong: CameraTime, delay_s: Callable[[int], float]) -> None:
    clock, times, ages, breaks = played(wrong, 60, delay_s=delay_s)
    assert clock.used == "arrival"
    assert breaks == 0
    assert times == sorted(times)  # no picture goes back
    assert float(times[-1] - times[0]) < 60 + 2 * AHEAD_S  # a fast clock makes no more of a minute
    assert max(ages) <= 5.0 + 1e-6
    assert max(ages[-10 * FPS :]) < 0.1


RIGHT: dict[str, Callable[[int], float]] = {
    "a steady network": lambda number: 0.0,
    "a jittery network": jittery,
    "a network that is slower from then on": lambda number: 0.8 if number > 300 else 0.0,
    "a silence, and all at once": lambda number: max(0.0, 25.0 - steady(number)) if steady(number) >= 22 else 0.0,
    "three seconds at once when it begins": lambda number: max(0.0, 3.0 - steady(number)),
}


@pytest.mark.parametrize("delay_s", RIGHT.values(), ids=RIGHT.keys())
def test_a_clock_that_is_right_is_believed_whatever_the_network_does(delay_s: Callable[[int], float]) -> None:
    clock, times, _, breaks = played(steady, 120, delay_s=delay_s)
    assert clock.used == "camera"
    assert breaks == 0
    assert times == [Fraction(number, FPS) for number in range(120 * FPS)]


def test_a_camera_that_was_silent_for_long_begins_an_epoch_and_is_believed() -> None:
    clock, _, _, breaks = played(
        lambda number: steady(number) + 20 * (number >= 100), 60, delay_s=lambda number: 20.0 * (number >= 100)
    )
    assert (clock.used, breaks) == ("camera", 1)


def test_stream_time_goes_on_where_the_camera_is_found_wrong() -> None:
    _, times, _, _ = played(WRONG["starting again"], 40)
    assert max(later - earlier for earlier, later in pairwise(times)) < Fraction(1, 5)


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_who_asks_for_the_cameras_time_gets_it_and_no_picture_is_told_as_ever_older(wrong: CameraTime) -> None:
    clock, _, ages, _ = played(wrong, 60, Clock.CAMERA)
    assert clock.used == "camera"
    assert max(ages, default=0.0) <= 5.0 + 1e-6


def test_a_clock_that_jumps_again_and_again_is_wild_where_it_was_asked_for() -> None:
    clock, _, _, breaks = played(WRONG["random"], 10, Clock.CAMERA)
    assert breaks > MAX_BREAKS
    assert clock.is_wild
    assert not played(WRONG["starting again"], 60, Clock.CAMERA)[0].is_wild


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG.keys())
def test_who_asks_for_arrival_gets_it_from_the_first_picture_on(wrong: CameraTime) -> None:
    clock, times, ages, breaks = played(wrong, 30, Clock.ARRIVAL)
    assert (clock.used, breaks, len(times)) == ("arrival", 0, 30 * FPS)
    assert [later - earlier for earlier, later in pairwise(times)] == [Fraction(1, 10)] * 299
    assert max(ages) < 0.001


def test_a_silence_begins_an_epoch_by_arrival_too() -> None:
    breaks = played(steady, 30, Clock.ARRIVAL, delay_s=lambda number: 10.0 * (number >= 100))[3]
    assert breaks == 1


def test_what_lay_there_unread_is_no_evidence() -> None:
    """This machine was busy, the clock is not slow."""
    clock = StreamClock(Clock.AUTO)
    for number in range(300):
        clock.take(Fraction(number, FPS), START_S + 1.3 * number / FPS, number == 0)
    assert clock.used == "camera"
