"""Where cubes lie: from the policy's relative positions to whole frames and pixels, as inference uses them.

Knows no network. Training's enlarged cubes are in `enlarged`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.adafocus.config import AdaFocusConfig
from models.recognizer import Cube, Frames


def place_cubes(positions_K3: NDArray[np.float32], config: AdaFocusConfig) -> tuple[Cube, ...]:
    """The K cubes of one clip, in the order in which they are looked at.

    A position u in [0, 1] puts the corner at u * (size - cube), so the centre at that plus half a cube: the nearest
    frame in time, rounded down to a pixel in space. A single-frame cube whose frame was looked at before takes the
    nearest frame that was not, the earlier on a tie (section 4.1: frames of previous cubes are removed).
    """
    sizes = (config.num_frames, *config.frame_size)
    num_frames, height_px, width_px = config.cube_size
    room_3 = np.subtract(sizes, config.cube_size)
    corners_K3 = np.floor(positions_K3.astype(np.float64) * room_3 + (0.5, 0.0, 0.0)).astype(int)
    corners_K3 = corners_K3.clip(0, room_3)
    first_frames = [int(t) for t in corners_K3[:, 0]]
    if num_frames == 1:
        first_frames = _without_repeats(first_frames, config.num_frames)
    return tuple(
        Cube(t, int(y), int(x), num_frames, height_px, width_px)
        for t, (_, y, x) in zip(first_frames, corners_K3, strict=True)
    )


def cut(clip_THWC: Frames, cube: Cube) -> Frames:
    """The pixels of a cube: a view, nothing is copied."""
    return clip_THWC[
        cube.t : cube.t + cube.num_frames, cube.y : cube.y + cube.height_px, cube.x : cube.x + cube.width_px
    ]


def _without_repeats(wanted: Sequence[int], num_frames: int) -> list[int]:
    unused = set(range(num_frames))
    taken = []
    for frame in wanted:
        nearest = min(unused, key=lambda candidate: (abs(candidate - frame), candidate))
        unused.remove(nearest)
        taken.append(nearest)
    return taken
