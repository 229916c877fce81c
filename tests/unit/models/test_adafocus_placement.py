"""Where a rule places cubes: around the person, in the middle, where pixels change, anywhere; never twice the same."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.adafocus.config import AdaFocusConfig
from models.adafocus.placement import cut_windows, follow, place_by_rule, resized
from models.recognizer import Cube, Window

from .lively import clips
from .placed_cubes import CENTRE, PERSON

SIZE = (240, 320)
RULES = [replace(PERSON, placement=rule) for rule in ("person", "centre", "motion", "random")]


def points(*boxes: tuple[float, float, float, float] | None) -> np.ndarray:
    """key_points_TJ3 that spread over a (top, left, bottom, right) each, or are not seen."""
    found = np.zeros((len(boxes), 17, 3), np.float32)
    for row, box in zip(found, boxes, strict=True):
        if box is not None:
            top, left, bottom, right = box
            row[:, 0] = np.linspace(top, bottom, 17) / SIZE[0]
            row[:, 1] = np.linspace(left, right, 17) / SIZE[1]
            row[:, 2] = 0.9
    return found


def test_a_window_follows_the_person_frame_by_frame_at_one_size() -> None:
    centres, side = follow(points((60, 20, 160, 60), (70, 40, 170, 80), (80, 60, 180, 100)), SIZE)
    assert np.allclose(centres, [(110, 40), (120, 60), (130, 80)], atol=0.01)
    assert side == 140  # 1.4 times the 100 pixels that the person is high


def test_where_the_person_is_not_seen_it_is_where_it_mostly_is() -> None:
    centres, _ = follow(points((60, 20, 160, 60), None, (60, 20, 160, 60), (80, 60, 180, 100)), SIZE)
    assert centres[1] == pytest.approx((110, 40), abs=0.01)


def test_without_a_person_the_window_is_the_largest_in_the_middle() -> None:
    assert follow(points(None, None), SIZE) == ([(120, 160), (120, 160)], 240)


def test_three_sure_key_points_are_no_person() -> None:
    three = points((60, 20, 160, 60))
    three[0, 3:, 2] = 0.1
    assert follow(three, SIZE)[1] == 240


def test_a_window_is_no_smaller_than_a_quarter_of_the_frame_and_no_larger_than_it() -> None:
    assert follow(points((100, 100, 110, 105)), SIZE)[1] == 60
    assert follow(points((0, 0, 240, 320)), SIZE)[1] == 240


@settings(max_examples=40, deadline=None)
@given(config=st.sampled_from(RULES), seed=st.integers(0, 99))
def test_cubes_lie_within_the_clip_show_their_steps_frames_and_never_overlap(config: AdaFocusConfig, seed: int) -> None:
    (clip_THWC,) = clips(config, 1, seed)
    found = np.random.default_rng(seed).uniform(-0.2, 1.2, (4, 17, 3)).astype(np.float32)
    cubes = place_by_rule(config, clip_THWC, found)
    assert [cube.frames for cube in cubes] == list(config.step_frames)
    height, width = config.frame_size
    for cube in cubes:
        for window in cube.windows:
            assert 0 <= window.y <= window.y + window.height_px <= height
            assert 0 <= window.x <= window.x + window.width_px <= width
            assert cube.y <= window.y
            assert cube.x <= window.x
            assert window.y + window.height_px <= cube.y + cube.height_px
            assert window.x + window.width_px <= cube.x + cube.width_px
    shown = [frame for cube in cubes for frame in cube.frames]
    assert len(set(shown)) == len(shown)
    assert place_by_rule(config, clip_THWC, found) == cubes


def test_in_the_middle_is_in_the_middle() -> None:
    (cube, _) = place_by_rule(CENTRE, clips(CENTRE, 1)[0], np.zeros((4, 17, 3), np.float32))
    assert cube.windows == (Window(1, 12, 20, 32, 32), Window(3, 12, 20, 32, 32))
    assert (cube.t, cube.num_frames) == (1, 3)


def test_a_window_is_where_pixels_change() -> None:
    clip_THWC = np.full((6, *PERSON.frame_size, 3), 90, np.uint8)
    for frame in range(6):
        clip_THWC[frame, 40:52, 52 + frame : 64 + frame] = 255 - 40 * frame
    cubes = place_by_rule(replace(PERSON, placement="motion"), clip_THWC, np.zeros((4, 17, 3), np.float32))
    assert all(window.y == 24 and window.x > 35 for cube in cubes for window in cube.windows)


@pytest.mark.parametrize("size", [(192, 192), (40, 90), (60, 61)])
def test_windows_are_resized_as_pillow_resizes_where_nothing_is_shrunk(size: tuple[int, int]) -> None:
    image_HWC = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    theirs = np.asarray(Image.fromarray(image_HWC).resize(size[::-1], Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(resized(image_HWC, size).astype(int) - theirs).max() <= 1
    assert resized(image_HWC, (40, 60)) is image_HWC


def test_shrinking_by_two_is_the_mean_of_four_pixels() -> None:
    image_HWC = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    means = image_HWC.reshape(4, 2, 6, 2, 3).mean(axis=(1, 3))
    assert np.abs(resized(image_HWC, (4, 6)) - means).max() <= 0.5


def test_a_cubes_windows_are_cut_at_one_size() -> None:
    (clip_THWC,) = clips(PERSON, 1)
    cube = Cube.around([Window(1, 0, 3, 20, 20), Window(4, 10, 6, 32, 32)])
    crops = cut_windows(clip_THWC, cube, (32, 32))
    assert crops.shape == (2, 32, 32, 3)
    assert crops.flags.c_contiguous
    assert np.array_equal(crops[1], clip_THWC[4, 10:42, 6:38])
