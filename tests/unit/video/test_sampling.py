"""Which frames are chosen, and which packets are decoded for them."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from video.file.sampling import PacketFacts, choose, in_passing, middle, plan_runs, stand_ins, usual_distance


def stream(pattern: str, *, duration: int = 10) -> list[PacketFacts]:
    """Packets at equal distances in order of time: "K" a keyframe, "." another frame, "x" one that is not shown."""
    return [PacketFacts(index * duration, duration, kind == "K", kind != "x") for index, kind in enumerate(pattern)]


def open_gops(num_groups: int) -> list[PacketFacts]:
    """Decode order I B B P B B, where the two frames after each I are shown before it."""
    order = [2, 0, 1, 5, 3, 4]
    return [
        PacketFacts(10 * (6 * group + place), 10, place == 2, True) for group in range(num_groups) for place in order
    ]


def test_each_segment_gives_the_frame_nearest_to_its_centre() -> None:
    # 12 frames of 10 ticks in 3 segments of 40: centres 20, 60, 100
    assert choose(stream("K..........."), 0, 120, 3).targets == (2, 6, 10)


def test_a_frame_halfway_between_two_gives_way_to_the_earlier() -> None:
    # frames at 0 and 10, one segment of 10 ticks: its centre is 5 away from both
    packets = [PacketFacts(0, 10, True, True), PacketFacts(10, 10, False, True)]
    assert choose(packets, 0, 10, 1).targets == (0,)


def test_a_window_lies_in_the_middle_and_a_shorter_video_is_taken_whole() -> None:
    assert middle(100, 200, 40) == (130, 170)
    assert middle(100, 200, 100) == middle(100, 200, 1000) == middle(100, 200, None) == (100, 200)
    assert middle(0, 10, 0) == (4, 5)  # never empty


def test_eight_frames_of_a_window_stand_a_stride_of_32_apart() -> None:
    # 300 frames at 30 fps, of 10 ticks each; a window of 8 * 32 frames around frame 150
    start, end = middle(0, 3000, 8 * 32 * 10)
    targets = choose(stream("K" + "." * 299), start, end, 8).targets
    assert [later - earlier for earlier, later in itertools.pairwise(targets)] == [32] * 7
    assert abs(sum(targets) / 8 - 150) <= 1


def test_a_short_video_repeats_its_frames() -> None:
    assert choose(stream("K."), 0, 20, 4).targets == (0, 1, 1, 1)


def test_a_single_frame_fills_the_clip() -> None:
    assert choose(stream("K"), 0, 10, 5).targets == (0, 0, 0, 0, 0)


def test_keyframes_alone_are_taken_where_every_segment_holds_one() -> None:
    choice = choose(stream("K...K...K..."), 0, 120, 3)
    assert choice.keyframes_only
    assert choice.targets == (0, 4, 8)


def test_the_keyframe_nearest_to_the_centre_is_taken() -> None:
    assert choose(stream("KKK.KKK."), 0, 80, 2).targets == (2, 6)


def test_one_segment_without_a_keyframe_asks_for_exact_frames_everywhere() -> None:
    choice = choose(stream("K...K......."), 0, 120, 3)
    assert not choice.keyframes_only
    assert choice.targets == (2, 6, 10)


def test_a_frame_that_is_not_shown_is_never_chosen() -> None:
    assert set(choose(stream("Kxx."), 0, 40, 4).targets) == {0, 3}


def test_variable_frame_rate_is_sampled_by_time_not_by_count() -> None:
    times = [0, 1, 2, 3, 100, 200]
    packets = [PacketFacts(pts, 1, pts == 0, True) for pts in times]
    assert [packets[index].pts for index in choose(packets, 0, 300, 3).targets] == [3, 100, 200]


def test_a_run_begins_at_the_keyframe_and_ends_at_its_last_target() -> None:
    (run,) = plan_runs(stream("K...K..."), [5, 6])
    assert (run.first, run.last, run.targets) == (4, 6, {5, 6})


def test_groups_without_a_target_are_not_decoded() -> None:
    runs = plan_runs(stream("K...K...K..."), [1, 9])
    assert [(run.first, run.last) for run in runs] == [(0, 1), (8, 9)]


def test_a_leading_frame_of_an_open_group_is_decoded_from_the_group_before() -> None:
    packets = open_gops(3)
    leading = 7  # first of the two frames shown before the second keyframe
    (run,) = plan_runs(packets, [leading])
    assert (run.first, run.last) == (0, leading)


def test_a_frame_after_an_open_groups_keyframe_needs_nothing_before_it() -> None:
    (run,) = plan_runs(open_gops(3), [9])
    assert (run.first, run.last) == (6, 9)


def test_runs_that_overlap_become_one() -> None:
    (run,) = plan_runs(open_gops(3), [3, 7, 9])
    assert (run.first, run.last, run.targets) == (0, 9, {3, 7, 9})


def test_a_packet_without_a_time_stays_with_the_one_before() -> None:
    packets = [PacketFacts(0, 10, True, True), PacketFacts(None, 0, False, True), PacketFacts(10, 10, False, True)]
    (run,) = plan_runs(packets, [0])
    assert run.last == 1


@st.composite
def videos(draw: st.DrawFn) -> list[PacketFacts]:
    gaps = draw(st.lists(st.integers(1, 50), min_size=1, max_size=60))
    keys = draw(st.lists(st.booleans(), min_size=len(gaps), max_size=len(gaps)))
    times = [sum(gaps[:index]) for index in range(len(gaps))]
    return [
        PacketFacts(pts, gap, index == 0 or key, True)
        for index, (pts, gap, key) in enumerate(zip(times, gaps, keys, strict=True))
    ]


def extent(packets: list[PacketFacts]) -> tuple[int, int]:
    assert packets[0].pts is not None
    assert packets[-1].pts is not None
    return packets[0].pts, packets[-1].pts + packets[-1].duration


def centres(start: int, end: int, num_frames: int) -> list[float]:
    return [start + (2 * place + 1) * (end - start) / (2 * num_frames) for place in range(num_frames)]


@given(packets=videos(), num_frames=st.integers(1, 40))
def test_frames_come_in_order_of_time_and_as_many_as_asked(packets: list[PacketFacts], num_frames: int) -> None:
    targets = choose(packets, *extent(packets), num_frames).targets
    assert len(targets) == num_frames
    assert list(targets) == sorted(targets)


@given(packets=videos(), num_frames=st.integers(1, 40))
def test_of_keyframes_alone_none_is_nearer_to_a_centre_than_the_chosen(
    packets: list[PacketFacts], num_frames: int
) -> None:
    start, end = extent(packets)
    choice = choose(packets, start, end, num_frames)
    keys = [packet.pts for packet in packets if packet.is_key and packet.pts is not None]
    for centre, target in zip(centres(start, end, num_frames), choice.targets, strict=True):
        if choice.keyframes_only:
            assert abs((packets[target].pts or 0) - centre) <= min(abs(pts - centre) for pts in keys) + 1e-9


@given(packets=videos(), num_frames=st.integers(1, 40))
def test_a_frame_is_shown_at_its_centre_or_comes_within_half_the_usual_distance(
    packets: list[PacketFacts], num_frames: int
) -> None:
    start, end = extent(packets)
    choice = choose(packets, start, end, num_frames)
    times = sorted(packet.pts for packet in packets if packet.pts is not None)
    usual = usual_distance(times)
    for centre, target in zip(centres(start, end, num_frames), choice.targets, strict=True):
        pts = packets[target].pts
        shown = max(time for time in times if time <= centre)
        assert choice.keyframes_only or pts == shown or centre < (pts or 0) <= centre + usual / 2


@given(st.integers(1, 60), st.integers(1, 50), st.integers(1, 40))
def test_at_a_constant_rate_no_frame_is_nearer_to_a_centre_than_the_chosen(
    count: int, gap: int, num_frames: int
) -> None:
    packets = [PacketFacts(index * gap, gap, index == 0, True) for index in range(count)]
    choice = choose(packets, 0, count * gap, num_frames)
    for centre, target in zip(centres(0, count * gap, num_frames), choice.targets, strict=True):
        nearest = min(abs(index * gap - centre) for index in range(count))
        assert choice.keyframes_only or abs(target * gap - centre) <= nearest + 1e-9


def test_a_still_picture_is_shown_until_the_next_one_comes() -> None:
    # one frame for 90 ticks, then ten in ten: the centres of four segments are 12.5, 37.5, 62.5 and 87.5
    packets = [PacketFacts(0, 90, True, True), *(PacketFacts(90 + index, 1, False, True) for index in range(10))]
    assert choose(packets, 0, 100, 4).targets == (0, 0, 0, 0)


@given(packets=videos(), num_frames=st.integers(1, 40))
def test_runs_are_apart_start_at_keyframes_and_hold_every_target(packets: list[PacketFacts], num_frames: int) -> None:
    targets = choose(packets, *extent(packets), num_frames).targets
    runs = plan_runs(packets, targets)
    assert all(packets[run.first].is_key for run in runs)
    assert all(before.last < after.first for before, after in itertools.pairwise(runs))
    assert {target for run in runs for target in run.targets} == set(targets)
    assert all(run.first <= target <= run.last for run in runs for target in run.targets)


def test_a_keyframe_within_the_tolerance_stands_in_for_a_frame() -> None:
    packets = stream("K.....K.....")  # keyframes at 0 and 60
    assert stand_ins(packets, [1, 4], within=30) == {1: 0, 4: 6}
    assert stand_ins(packets, [4], within=20) == {4: 6}
    assert stand_ins(packets, [4], within=19) == {}


def test_a_keyframe_stands_in_for_one_frame_alone_the_nearest() -> None:
    assert stand_ins(stream("K.....K....."), [4, 7], within=100) == {7: 6}
    assert stand_ins(stream("..K..."), [0, 3, 4], within=100) == {3: 2}


def test_a_frame_that_is_a_keyframe_is_left_alone() -> None:
    packets = stream("K.....K.....")
    assert stand_ins(packets, [6, 7], within=100) == {}  # the keyframe is taken already, and exact


def test_without_keyframes_nothing_stands_in() -> None:
    assert stand_ins(stream("......"), [1, 2], within=100) == {}


@given(st.lists(st.sampled_from("K.x"), min_size=4, max_size=60), st.integers(1, 8), st.floats(0, 0.99))
def test_with_stand_ins_frames_stay_in_order_and_apart(pattern: list[str], num_frames: int, tolerance: float) -> None:
    packets = stream("K" + "".join(pattern))
    end = 10 * len(packets)
    targets = choose(packets, 0, end, num_frames).targets
    keys = stand_ins(packets, targets, int(tolerance * end / num_frames))
    for target, key in keys.items():
        assert packets[key].is_key
        assert abs(10 * key - 10 * target) <= tolerance * end / num_frames
    assert len(set(keys.values())) == len(keys)
    assert not set(keys.values()) & set(targets), "a keyframe that is a frame of its own stands for no other"


def test_what_comes_out_in_passing_is_what_its_own_run_would_give() -> None:
    packets = stream("K.....K.....K.....")
    runs = plan_runs(packets, [9])
    assert [in_passing(packets, runs, target) for target in (3, 6, 8, 9, 10)] == [False, True, True, True, False]
    leading = open_gops(3)
    assert not in_passing(leading, plan_runs(leading, [6]), 7), "a leading frame needs the group before"


def test_the_first_segments_give_what_they_will_give_in_the_end() -> None:
    packets = stream("K" + 11 * ".")
    assert choose(packets[:8], 0, 120, 3, first=2).targets == choose(packets, 0, 120, 3).targets[:2]


def test_where_one_keyframe_stands_for_two_of_the_first_segments_exact_frames_are_expected() -> None:
    # keyframes at 0 and 80, centres at 20, 60, 100, 140: half a segment from each, until the last has none
    packets = stream("K.......K.......")
    assert choose(packets, 0, 160, 4).targets == (2, 6, 10, 14)
    assert choose(packets[:12], 0, 160, 4, first=3).targets == (2, 6, 10)
