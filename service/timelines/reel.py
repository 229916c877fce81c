"""The latest cells of a video, as one mode shows them, and windows of them. Knows no engine; memory is a window's.

A picture that does not differ from the one kept before it is that one: where nothing moves, nothing is glanced at
twice. Shape suffixes: T frames, H rows, W columns, C colours.
"""

from collections import deque
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from fovea.words import Mode
from service.streams.windows import Window
from video.camera.live import Picture
from video.children.timeline_process import TimelineProcess
from video.file.cells import CellPicture

MAX_MEAN_LEVELS, MAX_BLOCK_LEVELS = 1.5, 6.0  # of 255, between pictures that show the same; a sensor's noise is less
_BLOCKS = 8  # to a side


class Reel:
    """Of one mode of one video."""

    def __init__(self, process: TimelineProcess, mode: Mode, cell_s: Fraction, num_frames: int) -> None:
        self._process, self._mode, self._cell_s = process, mode, cell_s
        self._cells: deque[tuple[int, Picture] | None] = deque(maxlen=num_frames)
        self._num_frames = num_frames
        self._next = 0  # the first cell that is not here yet
        self._latest: tuple[int, Picture] | None = None  # a picture and its key
        self._keys = 0

    async def window(self, first: int) -> Window | None:
        """The window from that cell on; None where none of its pictures could be had. Raises VideoError kin.

        Windows go forward.
        """
        last = first + self._num_frames
        start = max(first, self._next)
        if start > self._next:  # a stretch is passed by: what was seen before it does not stand for what comes
            self._cells.clear()
            self._latest = None
        async for picture in self._process.cells(self._mode, start, last, self._cell_s):
            self._take(picture)
        self._next = last
        return self._window(first, last)

    def _take(self, picture: CellPicture | None) -> None:
        if picture is not None:
            before = self._latest
            if before is None or differ(picture.frame_HWC, before[1].frame_HWC):
                self._latest = self._keys, _as_cameras(picture)
                self._keys += 1
        self._cells.append(self._latest)

    def _window(self, first: int, last: int) -> Window | None:
        known = [cell for cell in self._cells if cell is not None]
        if not known:
            return None
        cells = [known[0] if cell is None else cell for cell in self._cells]
        return Window(
            pictures_T=tuple(picture for _, picture in cells),
            keys_T=tuple(key for key, _ in cells),
            start_s=float(first * self._cell_s),
            end_s=float(last * self._cell_s),
            partial=False,
            mode=self._mode,
        )


def differ(one_HWC: NDArray[np.uint8], other_HWC: NDArray[np.uint8]) -> bool:
    """Whether two pictures show different things: on the whole, or in one of 64 blocks."""
    difference_HW = np.abs(one_HWC.astype(np.int16) - other_HWC).mean(axis=2)
    height, width = (side // _BLOCKS * _BLOCKS for side in difference_HW.shape)
    if difference_HW.mean() > MAX_MEAN_LEVELS or not height or not width:
        return bool(difference_HW.mean() > MAX_MEAN_LEVELS)
    blocks = difference_HW[:height, :width].reshape(_BLOCKS, height // _BLOCKS, _BLOCKS, width // _BLOCKS)
    return bool(blocks.mean(axis=(1, 3)).max() > MAX_BLOCK_LEVELS)


def _as_cameras(picture: CellPicture) -> Picture:
    """As the streams' windows hold it; no clock of this machine says when it was taken."""
    return Picture(picture.frame_HWC, picture.view_B, picture.pts_s, 0.0, picture.width_px, picture.height_px)
