"""Where cubes go that nobody taught: where most moves, and where the needle is; and whether a cube holds it.

Knows no network. Shape suffixes: N clips, K cubes, 3 = (t, y, x).
"""

import numpy as np
import torch
from torch import Tensor

from benchmarks.needle_clips import HEIGHT_PX, WIDTH_PX
from benchmarks.needle_parts import CUBE_PX, Part
from models.adafocus.config import AdaFocusConfig

_BLOCK_PX = 16  # of the grid in which motion is summed


def motion_places(part: Part, config: AdaFocusConfig) -> Tensor:
    """positions_NK3 of the cubes that hold most pixel differences; a second one does not overlap the first."""
    frames, height, width = config.cube_size
    rows, columns = height // _BLOCK_PX, width // _BLOCK_PX
    found = []
    for clip in part.clips:
        moved = np.abs(np.diff(clip.astype(np.int16), axis=0)).sum(axis=3)
        block = moved.reshape(len(moved), HEIGHT_PX // _BLOCK_PX, _BLOCK_PX, WIDTH_PX // _BLOCK_PX, _BLOCK_PX)
        block = block.sum(axis=(2, 4)).astype(np.float64)
        window = np.lib.stride_tricks.sliding_window_view(block, (frames - 1, rows, columns)).sum((3, 4, 5))
        places = []
        for _ in range(config.max_cubes):
            t, y, x = np.unravel_index(int(window.argmax()), window.shape)
            places.append((t / (len(window) - 1), y / (window.shape[1] - 1), x / (window.shape[2] - 1)))
            window[
                max(t - frames + 1, 0) : t + frames,
                max(y - rows + 1, 0) : y + rows,
                max(x - columns + 1, 0) : x + columns,
            ] = -1
        found.append(places)
    return torch.tensor(found, dtype=torch.float32)


def found_share(part: Part, positions_NK3: Tensor, config: AdaFocusConfig) -> float:
    size, cube = torch.tensor((config.num_frames, *config.frame_size)), torch.tensor(config.cube_size)
    place = positions_NK3[:, 0] * (size - cube) + cube / 2
    held = ((part.centres_N3 - place).abs() <= torch.tensor([2.0, CUBE_PX / 2, CUBE_PX / 2])).all(dim=1)
    return float(held[~part.easy_N].float().mean())


def needle_places(part: Part, config: AdaFocusConfig) -> Tensor:
    """positions_NK3 of cubes around the needle, all the same: what a policy that is never wrong would choose."""
    size, cube = torch.tensor((config.num_frames, *config.frame_size)), torch.tensor(config.cube_size)
    place_N3 = ((part.centres_N3 - cube / 2) / (size - cube)).clamp(0, 1)
    return place_N3[:, None].repeat(1, config.max_cubes, 1)
