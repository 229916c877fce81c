"""From a price to seconds: a guess until something is measured, then what was measured, within reason."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video.children.pace import GUESSED_PIXELS_PER_S, DecodePace
from video.clip import DecodePrice

LARGE = 10**9


def test_until_something_is_measured_a_slow_core_is_assumed() -> None:
    assert DecodePace().estimate(DecodePrice(1600, 2 * 10**9)).seconds == 2 * 10**9 / GUESSED_PIXELS_PER_S


def test_the_measured_rate_takes_its_place() -> None:
    pace = DecodePace()
    pace.observe(LARGE, 2.0)
    assert pace.estimate(DecodePrice(100, LARGE)).seconds == pytest.approx(2.0)


def test_small_videos_tell_nothing_of_large_ones() -> None:
    pace = DecodePace()
    for _ in range(100):
        pace.observe(1_000_000, 0.1)  # opening it took most of that
    assert pace.pixels_per_s == GUESSED_PIXELS_PER_S


def test_an_estimate_says_seconds_pixels_and_frames() -> None:
    told = str(DecodePace().estimate(DecodePrice(1599, 13_262_745_600)))
    assert told == "about 66.3 s (13.3 gigapixels in 1599 frames)"


@given(st.lists(st.tuples(st.integers(1, 10**11), st.floats(1e-3, 1e3)), max_size=20), st.integers(1, 10**12))
def test_whatever_was_measured_dearer_videos_take_longer_and_none_is_estimated_beyond_the_slowest_machine(
    measured: list[tuple[int, float]], pixels: int
) -> None:
    pace = DecodePace()
    for price, seconds in measured:
        pace.observe(price, seconds)
    estimate = pace.estimate(DecodePrice(1, pixels))
    assert 0 < estimate.seconds <= 4.01 * pixels / GUESSED_PIXELS_PER_S
    assert pace.estimate(DecodePrice(1, 2 * pixels)).seconds == pytest.approx(2 * estimate.seconds)
    assert pace.pixels_in(estimate.seconds) == pytest.approx(pixels, abs=1.001, rel=1e-9)
