"""A camera's time against ours."""

from fractions import Fraction

import pytest

from video.camera.timeline import Timeline


def seconds(value: float) -> Fraction:
    return Fraction(value).limit_denominator(10**6)


def test_the_least_delayed_packet_says_when_pictures_were_taken() -> None:
    line = Timeline()
    for time_s, delay_s in ((0, 0.5), (1, 0.1), (2, 0.9), (3, 0.3)):
        line.note(seconds(time_s), 1000 + time_s + delay_s)
    assert line.arrival_s(seconds(2)) == pytest.approx(1002.1, abs=0.01)


def test_a_burst_of_old_pictures_at_the_start_does_not_look_fresh() -> None:
    line = Timeline()
    for number in range(40):
        line.note(seconds(number / 10), 1000.0)  # four seconds at once
    assert line.arrival_s(seconds(0)) == pytest.approx(996.1)
    assert line.arrival_s(seconds(3.9)) == pytest.approx(1000.0)


def test_clocks_that_drift_apart_are_followed() -> None:
    line, drift = Timeline(), 1 + 1e-4
    for second in range(0, 20_000, 10):
        line.note(seconds(second), 1000 + second * drift)
    assert line.arrival_s(seconds(19_990)) == pytest.approx(1000 + 19_990 * drift, abs=0.05)


@pytest.mark.parametrize(("later_s", "jumps"), [(0.04, False), (-0.2, False), (4.9, False), (-0.6, True), (5.1, True),
                                                (-3600, True), (86400, True)])  # fmt: skip
def test_only_what_no_stream_does_by_itself_is_a_jump(later_s: float, jumps: bool) -> None:
    line = Timeline()
    assert not line.jumps_to(seconds(1e6))  # the first packet may have any time
    line.note(seconds(10_000), 0.0)
    assert line.jumps_to(seconds(10_000 + later_s)) is jumps
