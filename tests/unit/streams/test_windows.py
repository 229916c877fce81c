"""How windows lie over a camera's cells, and what they share."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from service.streams.subscription import cell_s, stride_cells
from service.streams.windows import Window, Windows
from video.camera.live import Cell, Picture, Progress

PROGRESS = Progress(0, 0, None, "all")
CELL_S = 0.25


def picture(number: int) -> Picture:
    frame_HWC = np.full((4, 4, 3), number % 256, np.uint8)
    return Picture(frame_HWC, np.array([0, 0, 1, 1], np.float32), number * CELL_S, 1000 + number * CELL_S, 64, 48)


def run(windows: Windows, shown: list[bool], first: int = 0) -> list[Window]:
    """A window for each cell that completes one; `shown`: whether the cell has a picture of its own."""
    made = (
        windows.take(Cell(first + number, picture(first + number) if has_one else None, PROGRESS))
        for number, has_one in enumerate(shown)
    )
    return [window for window in made if window is not None]


def numbers(window: Window) -> list[int]:
    return [round(one.pts_s / CELL_S) for one in window.pictures_T]


def test_windows_come_a_stride_apart_and_hold_the_last_cells() -> None:
    full = [window for window in run(Windows(4, 2, CELL_S), [True] * 10) if not window.partial]
    assert [numbers(window) for window in full] == [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6, 7], [6, 7, 8, 9]]
    assert [(window.start_s, window.end_s) for window in full] == [(0, 1), (0.5, 1.5), (1, 2), (1.5, 2.5)]


def test_a_young_epoch_gives_shorter_windows_whose_pictures_are_repeated() -> None:
    first, second, *_ = run(Windows(4, 1, CELL_S), [True] * 4)
    assert (first.partial, numbers(first), first.end_s) == (True, [0, 0, 0, 0], 0.25)
    assert (second.partial, numbers(second)) == (True, [0, 0, 1, 1])


def test_the_first_window_comes_soon_however_long_the_stride() -> None:
    windows = run(Windows(40, 100, CELL_S), [True] * 40)
    assert [window.end_s for window in windows] == [0.5, 10.0]


def test_a_cell_without_a_picture_shows_the_one_before_and_counts_as_the_same() -> None:
    (window,) = [one for one in run(Windows(4, 4, CELL_S), [True, False, True, False]) if not one.partial]
    assert numbers(window) == [0, 0, 2, 2]
    assert len(set(window.keys_T)) == 2
    assert window.clip("h264", 7).info.frames_sampled == 2


def test_no_window_reaches_back_over_a_break_and_no_key_is_used_twice() -> None:
    windows = Windows(4, 1, CELL_S)
    before = run(windows, [True] * 6)
    windows.start_anew()
    after = run(windows, [True] * 6)
    assert after[0].partial
    assert not set(before[-1].keys_T) & {key for window in after for key in window.keys_T}


def test_a_clip_tells_times_from_the_start_of_its_window() -> None:
    window = [one for one in run(Windows(4, 2, CELL_S), [True] * 6) if not one.partial][-1]
    clip = window.clip("h264", 9)
    assert clip.frames_THWC.shape == (4, 4, 4, 3)
    assert clip.pts_s == (0.0, 0.25, 0.5, 0.75)
    assert (clip.info.duration_s, clip.info.frames_decoded, clip.info.width_px) == (1.0, 9, 64)


@given(st.integers(1, 8), st.integers(1, 12), st.lists(st.booleans(), max_size=60))
def test_a_full_window_is_due_every_stride_and_its_pictures_never_go_back(
    num_frames: int, stride: int, shown: list[bool]
) -> None:
    windows = run(Windows(num_frames, stride, CELL_S), shown)
    full = [window for window in windows if not window.partial]
    seen = len(shown) - shown.index(True) if True in shown else 0
    assert len(full) == (0 if seen < num_frames else (seen - num_frames) // stride + 1)
    for window in windows:
        assert len(window.pictures_T) == num_frames
        assert numbers(window) == sorted(numbers(window))
        assert window.end_s > window.start_s >= 0


@given(st.floats(0.2, 120), st.floats(0.01, 120), st.integers(1, 32))
def test_a_stride_is_rounded_to_whole_cells(window_s: float, stride_s: float, num_frames: int) -> None:
    cells = stride_cells(stride_s, window_s, num_frames)
    cell = float(cell_s(window_s, num_frames))
    assert cells >= 1
    assert abs(cells * cell - stride_s) <= cell / 2 * 1.001 or cells == 1
