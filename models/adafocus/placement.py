"""Cubes that a rule places, not a policy: in the middle, anywhere, where pixels change, around the person.

Each step looks at its own frames of the glance (`AdaFocusConfig.step_frames`), at one window of each: so cubes of one
clip never overlap. A cube of motion comes before them and may lie over them. Knows no network: key points come as
numbers.

Shape suffixes: B clips, T frames of the glance, V numbers of a described frame, H rows, W columns, C colour channels,
J key points, 3 = (y, x, score) of key points, relative to the frame.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

from models.adafocus.config import CHANGE_BLOCK_PX, NUM_KEY_POINTS, AdaFocusConfig
from models.adafocus.motion import beyond_the_frame, change, motion_cube
from models.recognizer import Cube, Frames, Window

_SURE = 0.15  # least score of a key point that says where a person is
_LEAST_SURE = 4  # key points of a frame that say where the person is in it
_MARGIN = 1.4  # a window's side, relative to the spread of the key points in it
_SMALLEST = 0.25  # a window's side, relative to the shorter side of the frame


def place_by_rule(config: AdaFocusConfig, clip_THWC: Frames, key_points_TJ3: NDArray[np.float32]) -> tuple[Cube, ...]:
    """What the steps after the glance look at in one clip: where most changes, if motion is looked at, and K cubes. The
    key points are those of the glance's frames, and only placement `person` reads them.

    The same clip gets the same cubes, also at random.
    """
    frame_size, (_, height_px, width_px) = config.frame_size, config.cube_size
    middle = (frame_size[0] / 2, frame_size[1] / 2)
    centres: list[tuple[float, float]] = [middle] * config.num_glance_frames
    if config.placement == "person":
        centres, side_px = follow(key_points_TJ3, frame_size)
        height_px = width_px = side_px
    elif config.placement == "motion":
        centres = _where_pixels_change(clip_THWC[list(config.glance_indices)])
    elif config.placement == "random":
        rng = np.random.default_rng(zlib.crc32(np.ascontiguousarray(clip_THWC[config.glance_indices[0]]).data))
        half = np.array((height_px, width_px)) / 2
        drawn = [(float(y), float(x)) for y, x in rng.uniform(half, frame_size - half, (config.max_cubes, 2))]
        step_of = {frame: cube for cube, frames in enumerate(config.step_frames) for frame in frames}
        centres = [drawn[step_of[frame]] if frame in step_of else middle for frame in config.glance_indices]
    cubes = [
        Cube.around(
            [
                _window(frame, centres[config.glance_indices.index(frame)], (height_px, width_px), frame_size)
                for frame in frames
            ]
        )
        for frames in config.step_frames
    ]
    motion = [motion_cube(config, clip_THWC)] if config.motion_frames else []
    return (*motion, *cubes)


def key_points(described_BTV: NDArray[np.float32], config: AdaFocusConfig) -> NDArray[np.float32]:
    """key_points_BTJ3 of described frames; of a model without them none."""
    num_points = NUM_KEY_POINTS if config.key_points else 0
    rows = described_BTV.shape[:2]
    return described_BTV[:, :, described_BTV.shape[2] - 3 * num_points :].reshape(*rows, num_points, 3)


def without_key_points(described_TV: NDArray[np.float32], config: AdaFocusConfig) -> NDArray[np.float32]:
    """features_TD of described frames, without what was read at key points, either."""
    width = 3 + sum(config.local_widths) if config.key_points else 0
    return described_TV[:, : described_TV.shape[1] - width * NUM_KEY_POINTS]


def follow(key_points_TJ3: NDArray[np.float32], frame_size: tuple[int, int]) -> tuple[list[tuple[float, float]], int]:
    """(y, x) of a square window's centre in each frame, and its side, in pixels: the same throughout, since a person
    does not grow, and the median, since key points jump.

    In frames that show too few sure key points the person is where it mostly is; where none shows enough the window is
    in the middle, as large as fits.
    """
    height, width = frame_size
    shorter = min(frame_size)
    found = np.full((len(key_points_TJ3), 3), np.nan)
    for row, points_J3 in zip(found, key_points_TJ3, strict=True):
        sure_J3 = points_J3[points_J3[:, 2] > _SURE]
        if len(sure_J3) >= _LEAST_SURE:
            first, last = sure_J3[:, :2].min(axis=0) * frame_size, sure_J3[:, :2].max(axis=0) * frame_size
            row[:] = *(first + last) / 2, (last - first).max() * _MARGIN
    seen = found[~np.isnan(found[:, 0])]
    if not len(seen):
        return [(height / 2, width / 2)] * len(found), shorter
    usual = np.median(seen, axis=0)
    found = np.where(np.isnan(found), usual, found)
    side = float(np.clip(np.median(found[:, 2]), _SMALLEST * shorter, shorter))
    return [(float(y), float(x)) for y, x in found[:, :2]], round(side)


def cut_windows(clip_THWC: Frames, cube: Cube, size: tuple[int, int]) -> Frames:
    """The cube's windows, each brought to `size` (rows, columns)."""
    return np.stack(
        [resized(clip_THWC[w.frame, w.y : w.y + w.height_px, w.x : w.x + w.width_px], size) for w in cube.windows]
    )


def resized(image_HWC: Frames, size: tuple[int, int]) -> Frames:
    """Bilinear, half-pixel centres: for shrinking by at most two, beyond which pixels would be skipped."""
    if image_HWC.shape[:2] == size:
        return image_HWC
    rows, columns = (_neighbours(have, want) for have, want in zip(image_HWC.shape[:2], size, strict=True))
    image = _between(image_HWC.astype(np.float32), 0, rows[:2], rows[2][:, None, None])
    image = _between(image, 1, columns[:2], columns[2][:, None])
    image += 0.5
    return image.astype(np.uint8)


def _between(
    image_HWC: NDArray[np.float32], axis: int, pair: tuple[NDArray[np.intp], NDArray[np.intp]], far: NDArray[np.float32]
) -> NDArray[np.float32]:
    """In place as far as can be: half of the time of one expression, for the same bits."""
    first, second = (np.take(image_HWC, places, axis) for places in pair)
    second -= first
    second *= far
    second += first
    return second


def _neighbours(have: int, want: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """Of each wanted pixel the two that it lies between, and how far from the first."""
    places = ((np.arange(want) + 0.5) * have / want - 0.5).clip(0, have - 1)
    first = places.astype(np.intp)
    return first, np.minimum(first + 1, have - 1), (places - first).astype(np.float32)


def _where_pixels_change(frames_THWC: Frames) -> list[tuple[float, float]]:
    """(y, x) of the middle of what changes, in pixels; in the middle of the frame where all changes alike."""
    change_Phw = change(frames_THWC)
    change_Thw: NDArray[np.float32] = np.concatenate(
        (change_Phw[:1], (change_Phw[1:] + change_Phw[:-1]) / 2, change_Phw[-1:])
    )
    moves_Thw = beyond_the_frame(change_Thw) + 1e-3
    total, (rows, columns) = moves_Thw.sum(axis=(1, 2)), moves_Thw.shape[1:]
    y_T = (moves_Thw.sum(axis=2) * (np.arange(rows) + 0.5)).sum(axis=1) / total * CHANGE_BLOCK_PX
    x_T = (moves_Thw.sum(axis=1) * (np.arange(columns) + 0.5)).sum(axis=1) / total * CHANGE_BLOCK_PX
    return [(float(y), float(x)) for y, x in zip(y_T, x_T, strict=True)]


def _window(frame: int, centre: tuple[float, float], size: tuple[int, int], frame_size: tuple[int, int]) -> Window:
    """Moved inwards where it would reach beyond the frame."""
    y, x = (
        min(max(round(at - side / 2), 0), whole - side)
        for at, side, whole in zip(centre, size, frame_size, strict=True)
    )
    return Window(frame, y, x, *size)
