"""Frames that are decoded when they are asked for are those of a clip that is decoded at once, and no other costs."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fovea.errors import VideoUnreadable
from tests.clips import cached_clip, frozen, noise, write_clip
from tests.packets import broken_but
from video.clip import Clip, ClipRule, FirstLook, FurtherLook, VideoLimits
from video.file.decode import decode, plan_decoding

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)
RULE = ClipRule(num_frames=16, height_px=64, width_px=96, resize="letterbox")
GLANCE = tuple(range(1, 16, 2))
LOOK = FirstLook(GLANCE, 0.6)
# 8 s: half a second from sample to sample, a keyframe a second
LONG = {"seconds": 8, "gop": 25, "pattern": noise, "size": (160, 128)}
FILES = {
    "a.mp4": {"options": frozen(x264_params="keyint=25:scenecut=0:bframes=0")},
    "b-frames.mkv": {"options": frozen(x264_params="bframes=3:b-pyramid=normal:keyint=25:scenecut=0")},
    "open-gop.ts": {"options": frozen(x264_params="keyint=25:scenecut=0:bframes=3:open-gop=1")},
    "vp9.webm": {"codec": "libvpx-vp9", "options": frozen(cpu_used="8", deadline="realtime")},
    "fragmented.mp4": {"container_options": frozen(movflags="frag_keyframe+empty_moov")},
    "mpeg2.mpg": {"codec": "mpeg2video"},
}


def source(name: str) -> Path:
    return cached_clip(f"on-demand-{name}", **LONG | FILES[name])


def assert_equal_where_exact(clip: Clip, whole: Clip) -> None:
    exact = sorted(set(range(16)) - clip.inexact)
    np.testing.assert_array_equal(clip.frames_THWC[exact], whole.frames_THWC[exact])
    np.testing.assert_array_equal(clip.view_TB[exact], whole.view_TB[exact])
    assert [clip.pts_s[index] for index in exact] == [whole.pts_s[index] for index in exact]


@pytest.mark.parametrize("name", FILES)
def test_looks_join_to_the_clip_of_a_whole_decode(name: str) -> None:
    path = str(source(name))
    whole, begun = decode(path, RULE, LIMITS), decode(path, RULE, LIMITS, LOOK)
    assert begun.absent == set(range(0, 16, 2))
    assert begun.stand_ins
    assert begun.info.frames_decoded < whole.info.frames_decoded / 2
    assert begun.pts_s == tuple(sorted(begun.pts_s))
    assert_equal_where_exact(begun, whole)
    cube = tuple(range(4, 13))
    more = decode(path, RULE, LIMITS, FurtherLook(tuple(sorted(begun.inexact & set(cube))), (0, 2, 14)))
    joined = begun.joined(more)
    assert not joined.inexact & set(cube)
    assert_equal_where_exact(joined, whole)
    rest = decode(path, RULE, LIMITS, FurtherLook(tuple(sorted(joined.inexact))))
    joined = joined.joined(rest)
    assert not joined.inexact
    assert_equal_where_exact(joined, whole)


def test_a_stand_in_is_a_keyframe_at_its_own_time_and_without_tolerance_there_is_none() -> None:
    path = str(source("a.mp4"))
    begun = decode(path, RULE, LIMITS, LOOK)
    for index in begun.stand_ins:
        assert begun.pts_s[index] == round(begun.pts_s[index]), "keyframes lie at whole seconds"
        assert abs(begun.pts_s[index] - (index + 0.5) / 2) <= 0.6
    assert not plan_decoding(path, RULE, LIMITS, replace(LOOK, tolerance=0.0)).wanted.keys() - set(range(16))
    assert not decode(path, RULE, LIMITS, replace(LOOK, tolerance=0.0)).stand_ins


def test_keyframes_that_stay_are_no_stand_ins_whose_exact_frames_are_yet_to_come() -> None:
    path = str(source("a.mp4"))
    begun, stays = decode(path, RULE, LIMITS, LOOK), decode(path, RULE, LIMITS, replace(LOOK, keyframes_stay=True))
    assert begun.stand_ins
    assert not stays.stand_ins
    assert stays.absent == begun.absent
    assert stays.pts_s == begun.pts_s
    np.testing.assert_array_equal(stays.frames_THWC, begun.frames_THWC)


def test_further_frames_cost_the_groups_of_their_time_alone() -> None:
    path = str(source("a.mp4"))
    plan = plan_decoding(path, RULE, LIMITS, FurtherLook((6, 8)))  # at 3.25 and 4.25 s
    assert plan.price.frames == 2 * 7
    assert decode(path, RULE, LIMITS, FurtherLook((6, 8))).info.frames_decoded <= 2 * 7


def test_others_come_along_where_they_are_decoded_in_passing() -> None:
    path = str(source("a.mp4"))
    price = plan_decoding(path, RULE, LIMITS, FurtherLook((7,))).price
    plan = plan_decoding(path, RULE, LIMITS, FurtherLook((7,), (0, 6, 8)))
    assert plan.price == price
    assert sorted(plan.wanted) == [6, 7]


def test_where_looking_first_saves_less_than_half_all_is_decoded_at_once() -> None:
    path = str(cached_clip("on-demand-one-group.mp4", **LONG | {"gop": 1000}))
    begun, whole = decode(path, RULE, LIMITS, LOOK), decode(path, RULE, LIMITS)
    assert not begun.inexact
    assert begun.info == whole.info


def test_without_times_or_true_keyframes_all_is_decoded_and_exact(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", seconds=4, options={"x264-params": "bframes=2"})
    assert not decode(str(path), RULE, LIMITS, LOOK).inexact


def test_groups_that_are_broken_cost_the_look_that_needs_them(tmp_path: Path) -> None:
    path = broken_but(source("a.mp4"), tmp_path / "broken.mp4", kept=set(range(0, 200, 25)) | {192, 193})
    begun = decode(str(path), RULE, LIMITS, FirstLook(GLANCE[:-1], 0.6))
    assert len(begun.stand_ins) == 7
    with pytest.raises(VideoUnreadable, match=r"only \d+ of \d+ frames can be decoded, the video is damaged"):
        decode(str(path), RULE, LIMITS, FurtherLook((4, 6, 8)))


@pytest.mark.parametrize("name", [*FILES, "no-times.avi", "one-group.mp4"])
def test_frames_that_no_step_looks_at_are_neither_decoded_nor_kept(name: str) -> None:
    more = {"no-times.avi": {"options": frozen(x264_params="bframes=2")}, "one-group.mp4": {"gop": 1000}}
    path = str(cached_clip(f"on-demand-{name}", **LONG | (FILES | more)[name]))
    used = tuple(range(0, 16, 2))  # a quarter of a second after the keyframes, the others three quarters
    whole, clip = decode(path, RULE, LIMITS), decode(path, RULE, LIMITS, FirstLook(used, 0.0, ()))
    assert clip.absent == set(range(1, 16, 2))
    assert not clip.stand_ins
    assert_equal_where_exact(clip, whole)
    assert clip.pts_s == whole.pts_s
    assert clip.info.frames_sampled == 8
    assert clip.info.frames_decoded <= whole.info.frames_decoded
    assert clip.info.decode_pixels <= whole.info.decode_pixels
    if name == "a.mp4":
        assert clip.info.frames_decoded < 0.5 * whole.info.frames_decoded


def test_where_looking_first_saves_too_little_all_that_may_be_wanted_is_decoded_and_no_more() -> None:
    path = str(cached_clip("on-demand-one-group.mp4", **LONG | {"gop": 1000}))
    clip = decode(path, RULE, LIMITS, FirstLook(GLANCE, 0.6, (2, 4)))
    assert clip.absent == set(range(16)) - {*GLANCE, 2, 4}
    assert_equal_where_exact(clip, decode(path, RULE, LIMITS))


def test_of_a_damaged_video_that_is_decoded_in_order_only_what_may_be_wanted_is_kept(tmp_path: Path) -> None:
    path = str(broken_but(source("a.mp4"), tmp_path / "broken.mp4", kept=set(range(200)) - {69}))
    clip = decode(path, RULE, LIMITS, FirstLook(GLANCE, 0.0, (2,)))
    assert clip.info.frames_damaged
    assert clip.absent == set(range(16)) - {*GLANCE, 2}
    assert_equal_where_exact(clip, decode(path, RULE, LIMITS))
    further = decode(path, RULE, LIMITS, FurtherLook((4,), (6,)))
    assert not clip.joined(further).inexact & {4}
