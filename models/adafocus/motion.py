"""Where pixels change from frame to frame: how much, and in which window most. Knows no network.

Shape suffixes: T frames, P pairs of neighbours, H rows, W columns, C colour channels, h and w blocks of pixels.
"""

import numpy as np
from numpy.typing import NDArray

from models.adafocus.config import CHANGE_BLOCK_PX, AdaFocusConfig
from models.recognizer import Cube, Frames, Window

_STILL = 4.0  # levels, of 255, by which a block must change more than its frame does


def change(frames_THWC: Frames) -> NDArray[np.float32]:
    """change_Phw of each frame to the next: grey levels of a block, what the frame changes as a whole (its median)."""
    rows, columns = (side // CHANGE_BLOCK_PX for side in frames_THWC.shape[1:3])
    grey = frames_THWC[:, : rows * CHANGE_BLOCK_PX, : columns * CHANGE_BLOCK_PX].astype(np.float32).mean(axis=3)
    grey_Thw = grey.reshape(-1, rows, CHANGE_BLOCK_PX, columns, CHANGE_BLOCK_PX).mean(axis=(2, 4))
    change_Phw: NDArray[np.float32] = np.abs(np.diff(grey_Thw, axis=0))
    return change_Phw


def beyond_the_frame(change_Thw: NDArray[np.float32]) -> NDArray[np.float32]:
    """By how much each block changes more than its frame does, which a moving camera makes large."""
    moves_Thw: NDArray[np.float32] = change_Thw - np.median(change_Thw, axis=(1, 2), keepdims=True) - _STILL
    return np.maximum(moves_Thw, 0)


def motion_cube(config: AdaFocusConfig, clip_THWC: Frames) -> Cube:
    """One window of `motion_window` for both frames of each pair of `motion_frames`: where most changes in the pair and
    between it and the pairs beside it; in the first corner where nothing does."""
    frames = config.motion_frames
    moves_Phw = beyond_the_frame(change(clip_THWC[list(frames)]))
    together_Phw = moves_Phw.copy()
    together_Phw[1:] += moves_Phw[:-1]
    together_Phw[:-1] += moves_Phw[1:]
    places = [place for place in _most(together_Phw[::2], config.motion_window) for _ in range(2)]
    return Cube.around(
        [Window(frame, *place, *config.motion_window) for frame, place in zip(frames, places, strict=True)]
    )


def _most(values_Phw: NDArray[np.float32], size: tuple[int, int]) -> list[tuple[int, int]]:
    """(y, x) of the window of `size` that holds most, in pixels; the first of equals."""
    summed = np.pad(values_Phw.astype(np.float64).cumsum(axis=1).cumsum(axis=2), ((0, 0), (1, 0), (1, 0)))
    rows, columns = (side // CHANGE_BLOCK_PX for side in size)
    held = summed[:, rows:, columns:] - summed[:, :-rows, columns:] - summed[:, rows:, :-columns]
    held += summed[:, :-rows, :-columns]
    flat_P = held.reshape(len(held), -1).argmax(axis=1)
    return [(int(at) // held.shape[2] * CHANGE_BLOCK_PX, int(at) % held.shape[2] * CHANGE_BLOCK_PX) for at in flat_P]
