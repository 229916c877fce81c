"""One running clock out of a file's own: recordings laid end to end, jumps closed, all else left as it is."""

from fractions import Fraction
from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from video.file.clock import lay_out
from video.file.sampling import PacketFacts

TICK = Fraction(1, 100)  # 4 ticks between frames: 25 a second
LONG = Fraction(10)


def recording(start: int, kinds: str = "K........") -> list[PacketFacts]:
    """Frames 4 ticks apart from `start` on; "K" a keyframe."""
    return [PacketFacts(start + 4 * n, 4, kind == "K", True, start + 4 * n) for n, kind in enumerate(kinds)]


def pts(packets: tuple[PacketFacts, ...]) -> list[int | None]:
    return [packet.pts for packet in packets if packet.is_shown]


def test_a_clock_that_runs_on_is_left_as_it_is() -> None:
    laid = lay_out(recording(1000), TICK, LONG)
    assert list(laid.packets) == recording(1000)
    assert (laid.breaks, laid.fresh_starts) == ((), ())


def test_a_second_recording_begins_where_the_first_ends() -> None:
    laid = lay_out(recording(0) + recording(0), TICK, LONG)
    assert pts(laid.packets) == [4 * n for n in range(18)]
    assert (laid.breaks, laid.fresh_starts) == ((9,), (9,))


def test_a_jump_is_closed_where_a_picture_cannot_last_as_long() -> None:
    far = recording(0) + recording(5000)
    assert pts(lay_out(far, TICK, LONG).packets) == [4 * n for n in range(18)]
    assert pts(lay_out(far, TICK, Fraction(60)).packets) == pts(tuple(far))


def test_a_recording_that_begins_between_keyframes_is_shown_from_its_first() -> None:
    laid = lay_out(recording(0) + recording(0, "...K....."), TICK, LONG)
    assert [packet.is_decodable for packet in laid.packets] == [True] * 9 + [False] * 3 + [True] * 6
    assert pts(laid.packets) == [4 * n for n in range(15)]


def test_a_clock_that_jumps_ahead_between_keyframes_is_still_the_same_recording() -> None:
    laid = lay_out(recording(0) + recording(9000, "........."), TICK, LONG)
    assert pts(laid.packets) == [4 * n for n in range(18)]
    assert (laid.breaks, laid.fresh_starts) == ((9,), ())


def test_reordered_frames_are_no_break() -> None:
    order = [0, 4, 2, 1, 3, 8, 6, 5, 7]  # one frame a second: decoding goes back three
    packets = [PacketFacts(100 * n, 100, n == 0, True, 100 * index - 300) for index, n in enumerate(order)]
    assert lay_out(packets, TICK, LONG).breaks == ()


@example(lengths=[8, 1], starts=[0, 8, 0, 0, 0])  # back by just as much as no recording goes back
@given(st.lists(st.integers(1, 30), min_size=1, max_size=5), st.lists(st.integers(0, 10**6), min_size=5, max_size=5))
def test_whatever_recordings_are_appended_time_never_turns_back_and_none_is_lost(
    lengths: list[int], starts: list[int]
) -> None:
    packets = [
        packet
        for length, start in zip(lengths, starts, strict=False)
        for packet in recording(start, "K" + "." * (length - 1))
    ]
    times = pts(lay_out(packets, TICK, LONG).packets)
    assert len(times) == sum(lengths)
    assert all(b is not None and a is not None and b > a - 20 for a, b in pairwise(times))
