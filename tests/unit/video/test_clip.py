"""A clip that was begun, joined with what is decoded later."""

from dataclasses import replace

import numpy as np

from video.clip import Clip, VideoInfo

PTS_S = (0.0, 1.0, 2.0, 3.0)


def clip(value: int, *, absent: set[int] = frozenset(), stand_ins: set[int] = frozenset(), decoded: int = 5) -> Clip:
    """Four frames of one value; what is absent is black."""
    frames_THWC = np.full((4, 2, 2, 3), value, np.uint8)
    frames_THWC[sorted(absent)] = 0
    info = VideoInfo(4.0, 2, 2, "h264", decoded, 4 - len(absent), decode_pixels=10 * decoded)
    view_TB = np.full((4, 4), value, np.float32)
    return Clip(frames_THWC, PTS_S, view_TB, info, absent=frozenset(absent), stand_ins=frozenset(stand_ins))


def test_frames_that_are_there_and_exact_stay() -> None:
    joined = clip(1, absent={2, 3}, stand_ins={1}).joined(clip(2, absent={2}))
    assert joined.frames_THWC[:, 0, 0, 0].tolist() == [1, 2, 0, 2]
    assert joined.view_TB[:, 0].tolist() == [1, 2, 1, 2]
    assert (joined.absent, joined.stand_ins, joined.inexact) == ({2}, set(), {2})


def test_a_stand_in_is_replaced_by_the_exact_frame_and_told_at_its_time() -> None:
    begun = replace(clip(1, stand_ins={1}), pts_s=(0.0, 1.4, 2.0, 3.0))
    joined = begun.joined(clip(2, absent={0, 2, 3}))
    assert joined.pts_s == PTS_S
    assert not joined.inexact


def test_whoever_holds_the_pixels_sees_what_came() -> None:
    begun = clip(1, absent={3})
    held_THWC = begun.frames_THWC
    begun.joined(clip(2, absent={0, 1, 2}))
    assert held_THWC[3].min() == 2


def test_costs_add_up_and_frames_are_counted_once() -> None:
    joined = clip(1, absent={2, 3}, decoded=5).joined(clip(2, absent={0, 1}, decoded=7))
    assert (joined.info.frames_decoded, joined.info.decode_pixels, joined.info.frames_sampled) == (12, 120, 4)


def test_another_stand_in_is_no_gain() -> None:
    joined = clip(1, stand_ins={1}).joined(clip(2, stand_ins={1}))
    assert joined.frames_THWC[1].max() == 1
    assert joined.stand_ins == {1}
