"""Three crops side by side: what a model of three views sees of a picture, and the way back to the source.

Shape suffixes: T frames, H rows, W columns, C colour channels, B box sides.
"""

from dataclasses import replace

import numpy as np
import pytest

from models.recognizer import Cube
from service.api.recognitions.answers import cube_place
from service.engine.summary import place
from tests.clips import cached_clip, moving_square, noise
from video.children.file_wire import answer, payload_bytes, read_answer, read_request, request
from video.clip import Clip, ClipRule, VideoLimits
from video.file.decode import decode

LIMITS = VideoLimits(duration_s=60.0, frame_pixels=1920 * 1080, frames=2000)
RULE = ClipRule(num_frames=2, height_px=96, width_px=3 * 96, resize="three_crops")
WIDE, TALL, SQUARE = (240, 96), (96, 200), (160, 160)


def decoded(size: tuple[int, int], rule: ClipRule = RULE) -> Clip:
    return decode(str(cached_clip("noise.mp4", pattern=noise, size=size, seconds=0.2)), rule, LIMITS)


def test_a_wide_picture_gives_left_centre_and_right_and_a_tall_one_top_centre_and_bottom() -> None:
    for size in (WIDE, TALL):
        whole = decoded(size, replace(RULE, width_px=size[0], height_px=size[1], resize="stretch"))
        excess = (size[0] - 96, size[1] - 96)
        for number in range(3):
            left, top = (excess[axis] * number // 2 for axis in (0, 1))
            wanted = whole.frames_THWC[:, top : top + 96, left : left + 96]
            found = decoded(size).frames_THWC[:, :, 96 * number : 96 * (number + 1)]
            np.testing.assert_array_equal(found, wanted)


def test_the_middle_crop_is_the_centre_crop() -> None:
    centre = decoded(WIDE, replace(RULE, width_px=96, resize="center_crop"))
    crops = decoded(WIDE)
    np.testing.assert_array_equal(crops.frames_THWC[:, :, 96:192], centre.frames_THWC)
    np.testing.assert_array_equal(crops.view_TB, centre.view_TB)


def test_of_a_square_picture_all_three_are_the_same() -> None:
    frames_THWC = decoded(SQUARE).frames_THWC
    for number in (1, 2):
        np.testing.assert_array_equal(frames_THWC[:, :, :96], frames_THWC[:, :, 96 * number : 96 * (number + 1)])


@pytest.mark.parametrize(
    ("size", "boxes"),
    [
        (WIDE, [(0.0, 0.0, 0.4, 1.0), (0.3, 0.0, 0.4, 1.0), (0.6, 0.0, 0.4, 1.0)]),
        (TALL, [(0.0, 0.0, 1.0, 0.48), (0.0, 0.26, 1.0, 0.48), (0.0, 0.52, 1.0, 0.48)]),
    ],
)
def test_each_crop_tells_where_it_lies_in_the_source(
    size: tuple[int, int], boxes: list[tuple[float, float, float, float]]
) -> None:
    clip = decoded(size)
    for number, wanted in enumerate(boxes):
        box = cube_place(Cube(0, 0, 96 * number, 2, 96, 96), clip).box
        np.testing.assert_allclose((box.x, box.y, box.w, box.h), wanted, atol=1e-5)
        kept = place(Cube(0, 0, 96 * number, 2, 96, 96), clip)  # what a camera's answers are made of
        assert (kept.x, kept.y, kept.w, kept.h) == (box.x, box.y, box.w, box.h)


def test_the_rule_and_the_crops_survive_the_way_through_a_child() -> None:
    rule = replace(RULE, window_s=1.5)
    assert read_request(request("x.mp4", rule, LIMITS))[1] == rule
    clip = decoded(WIDE)
    header, payload = answer(clip)
    assert len(payload) == payload_bytes(header, RULE)
    received = read_answer(header | {"pts_s": list(clip.pts_s)}, bytearray(payload), RULE)
    assert received.num_crops == 3
    np.testing.assert_array_equal(received.view_at(200)[0], clip.view_at(200)[0])


def test_a_window_is_taken_from_the_middle_of_the_video() -> None:
    path = str(cached_clip("moving.mp4", pattern=moving_square, seconds=4.0))
    whole = decode(path, ClipRule(4, 96, 128, "letterbox"), LIMITS)
    window = decode(path, ClipRule(4, 96, 128, "letterbox", window_s=1.0), LIMITS)
    assert whole.pts_s[0] == pytest.approx(0.5, abs=0.05)
    assert window.pts_s == pytest.approx((1.625, 1.875, 2.125, 2.375), abs=0.05)
    longer = decode(path, ClipRule(4, 96, 128, "letterbox", window_s=100.0), LIMITS)
    assert longer.pts_s == whole.pts_s
