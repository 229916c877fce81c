"""Where the displayed picture goes in the clip frame, and the way back: the arithmetic, without pixels."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from video.clip import ClipRule, Resize
from video.file.picture import Orientation, Placement, displayed_size, place_in, view_of


def rule(resize: Resize, width: int = 96, height: int = 96) -> ClipRule:
    return ClipRule(num_frames=1, height_px=height, width_px=width, resize=resize)


def test_letterbox_keeps_all_of_a_wide_picture_between_bars() -> None:
    assert place_in((1920, 1080), rule("letterbox")) == Placement(width_px=96, height_px=54, left_px=0, top_px=21)


def test_center_crop_fills_the_frame_and_cuts_both_sides_alike() -> None:
    assert place_in((1920, 1080), rule("center_crop")) == Placement(width_px=171, height_px=96, left_px=-38, top_px=0)


def test_stretch_fills_the_frame_with_all_of_it() -> None:
    assert place_in((1920, 1080), rule("stretch")) == Placement(width_px=96, height_px=96, left_px=0, top_px=0)


def test_letterbox_view_reaches_beyond_the_source_where_the_bars_are() -> None:
    x, y, w, h = view_of(Placement(96, 48, 0, 24), rule("letterbox")).tolist()
    assert (x, y, w, h) == (0, -0.5, 1, 2)


def test_center_crop_view_lies_inside_the_source() -> None:
    x, y, w, h = view_of(Placement(192, 96, -48, 0), rule("center_crop")).tolist()
    assert (x, y, w, h) == (0.25, 0, 0.5, 1)


@pytest.mark.parametrize(
    ("pixel_aspect", "transpose", "expected"),
    [
        (Fraction(1), False, (720, 576)),
        (Fraction(16, 11), False, (1047, 576)),
        (Fraction(1), True, (576, 720)),
        (Fraction(16, 11), True, (576, 1047)),
    ],
)
def test_displayed_size_has_square_pixels_and_stands_upright(
    pixel_aspect: Fraction, transpose: bool, expected: tuple[int, int]
) -> None:
    assert displayed_size(720, 576, pixel_aspect, Orientation(transpose=transpose)) == expected


sides = st.integers(1, 4000)


@given(width=sides, height=sides, to_width=st.integers(1, 300), to_height=st.integers(1, 300))
def test_letterbox_never_cuts_and_center_crop_never_pads(
    width: int, height: int, to_width: int, to_height: int
) -> None:
    boxed = place_in((width, height), rule("letterbox", to_width, to_height))
    assert 1 <= boxed.width_px <= to_width
    assert 1 <= boxed.height_px <= to_height
    assert boxed.width_px == to_width or boxed.height_px == to_height
    filled = place_in((width, height), rule("center_crop", to_width, to_height))
    assert filled.width_px >= to_width
    assert filled.height_px >= to_height
    assert filled.width_px == to_width or filled.height_px == to_height
