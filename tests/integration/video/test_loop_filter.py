"""Without the loop filter pixels differ a little, in frames that look at others, and only where a look allows it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.recognizer import Frames
from tests.clips import cached_clip, frozen, moving_square, write_clip
from video.clip import ClipRule, FirstLook, FurtherLook, Look, VideoLimits
from video.file.decode import decode

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)
RULE = ClipRule(num_frames=16, height_px=120, width_px=160, resize="letterbox")
PLACES = tuple(range(16))
LOOK = FirstLook(PLACES, 0.0, ())
WITHOUT = replace(LOOK, skip_loop_filter=True)
# 2 s: a keyframe a second, which are the frames of places 0 and 8
CLIP = {"seconds": 2, "fps": 8, "gop": 8, "size": (160, 120), "pattern": moving_square}
FILES = {
    "h264.mp4": {"options": frozen(crf="35", x264_params="keyint=8:min-keyint=8:scenecut=0:bframes=0")},
    "hevc.mp4": {
        "codec": "libx265",
        "options": frozen(crf="35", x265_params="log-level=none:keyint=8:min-keyint=8:scenecut=0:open-gop=0"),
    },
    "vp9.webm": {"codec": "libvpx-vp9", "options": frozen(cpu_used="8", deadline="realtime", crf="40")},
    "mpeg4.mp4": {"codec": "mpeg4"},
}
FILTERED = "h264.mp4"


def source(name: str) -> Path:
    return cached_clip(f"loop-filter-{name}", **CLIP | FILES[name])


def frames(path: Path, look: Look) -> Frames:
    return decode(str(path), RULE, LIMITS, look).frames_THWC


def test_frames_that_refer_to_others_differ_a_little_and_keyframes_not_at_all() -> None:
    whole, without = frames(source(FILTERED), None), frames(source(FILTERED), WITHOUT)
    np.testing.assert_array_equal(without[[0, 8]], whole[[0, 8]])
    apart = np.abs(without.astype(int) - whole).mean(axis=(1, 2, 3))
    assert (apart > 0).sum() >= 10
    assert apart.max() < 4


def test_looks_that_do_not_say_so_have_the_frames_of_a_whole_decode() -> None:
    np.testing.assert_array_equal(frames(source(FILTERED), LOOK), frames(source(FILTERED), None))
    further = frames(source(FILTERED), FurtherLook(PLACES[:-1]))
    np.testing.assert_array_equal(further[:-1], frames(source(FILTERED), None)[:-1])


def test_later_looks_leave_it_out_as_the_first_did() -> None:
    further = frames(source(FILTERED), FurtherLook(PLACES[:-1], skip_loop_filter=True))
    np.testing.assert_array_equal(further[:-1], frames(source(FILTERED), WITHOUT)[:-1])


@pytest.mark.parametrize("name", sorted(FILES.keys() - {FILTERED}))
def test_other_codecs_are_as_ever(name: str) -> None:
    np.testing.assert_array_equal(frames(source(name), WITHOUT), frames(source(name), None))


def test_what_is_decoded_in_order_because_the_file_tells_no_times_has_it(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.avi", **CLIP | {"options": {"crf": "35", "x264-params": "bframes=2"}})
    np.testing.assert_array_equal(frames(path, WITHOUT), frames(path, None))
