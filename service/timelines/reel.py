"""The latest cells of a video and windows of them, from keyframes or from all frames. Knows no engine.

Memory is that of a few windows, however long the video. A picture that does not differ from the one kept before it is
that one: where nothing moves, nothing is glanced at twice. And where two keyframes in a row do not differ, the frames
between them are not decoded. Shape suffixes: T frames, H rows, W columns, C colours.
"""

from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from itertools import count

import numpy as np
from numpy.typing import NDArray

from fovea.words import Mode
from service.streams.windows import Window
from video.camera.live import Picture
from video.children.timeline_process import TimelineProcess
from video.file.cells import CellPicture

MAX_MEAN_LEVELS, MAX_BLOCK_LEVELS = 1.5, 6.0  # of 255, between pictures that show the same; a sensor's noise is less
_BLOCKS = 8  # to a side


@dataclass(slots=True, eq=False)
class _Shown:
    """A cell's picture. `key` tells equal pictures apart from others, over both modes."""

    key: int
    picture: Picture
    is_still: bool = False  # the keyframes before and after the cell show the same


class Reel:
    """Of one video. Windows go forward in both modes."""

    def __init__(self, process: TimelineProcess, cell_s: Fraction, num_frames: int, *, cells_ahead: int) -> None:
        """`cells_ahead`: how far keyframes are read beyond a window, so that its end has a keyframe behind it."""
        self._process, self._cell_s, self._num_frames, self._cells_ahead = process, cell_s, num_frames, cells_ahead
        self._keys = count()
        self._scouted = _Stretch()  # keyframes alone
        self._seen = _Stretch()  # all frames, but where nothing moves

    async def scout(self, first: int, num_cells: int) -> Window | None:
        """The window from cell `first` on, of keyframes; None where it has none. `num_cells`: of the video.

        Raises VideoError kin.
        """
        last = first + self._num_frames
        start, end = max(first, self._scouted.end), max(last, min(num_cells, last + self._cells_ahead))
        self._scouted.forget(before=first, end=start)
        if start < end:
            async for picture in self._process.cells("keyframes", start, end, self._cell_s):
                before = self._scouted.latest
                is_new = self._take(self._scouted, picture)
                if picture is not None and before is not None and not is_new:
                    self._scouted.stand_still(before)
        return self._window(self._scouted, "keyframes", first)

    def stands_still(self, first: int) -> bool:
        """Whether all keyframes of the window and around it show the same, as far as scouts have been."""
        cells = [self._scouted.at(first + number) for number in range(self._num_frames)]
        return all(cell is not None and cell.is_still for cell in cells) and (
            len({cell.key for cell in cells if cell is not None}) == 1
        )

    async def look(self, first: int) -> Window | None:
        """The same of all frames, but where a scout has been and found that nothing moves. Raises as `scout`."""
        last = first + self._num_frames
        start = max(first, self._seen.end)
        self._seen.forget(before=first, end=start)
        while start < last:
            known = self._scouted.at(start)
            if known is not None and known.is_still:
                self._seen.put(known)
                start += 1
                continue
            end = start + 1
            while end < last and not ((known := self._scouted.at(end)) is not None and known.is_still):
                end += 1
            async for picture in self._process.cells("all", start, end, self._cell_s):
                self._take(self._seen, picture)
            start = end
        return self._window(self._seen, "all", first)

    def _take(self, stretch: "_Stretch", picture: CellPicture | None) -> bool:
        """The next cell; whether it shows something else than the one before."""
        before = stretch.latest
        is_new = picture is not None and (before is None or differ(picture.frame_HWC, before.picture.frame_HWC))
        if is_new:
            assert picture is not None
            stretch.put(_Shown(next(self._keys), _as_cameras(picture)))
        elif before is not None:
            stretch.put(_Shown(before.key, before.picture))
        else:
            stretch.put(None)
        return is_new

    def _window(self, stretch: "_Stretch", mode: Mode, first: int) -> Window | None:
        cells = [stretch.at(first + number) for number in range(self._num_frames)]
        known = [cell for cell in cells if cell is not None]
        if not known:
            return None
        whole = [known[0] if cell is None else cell for cell in cells]
        return Window(
            pictures_T=tuple(cell.picture for cell in whole),
            keys_T=tuple(cell.key for cell in whole),
            start_s=float(first * self._cell_s),
            end_s=float((first + self._num_frames) * self._cell_s),
            partial=False,
            mode=mode,
        )


class _Stretch:
    """Cells in a row."""

    def __init__(self) -> None:
        self._cells: deque[_Shown | None] = deque()
        self.end = 0  # the first cell that is not here yet

    @property
    def latest(self) -> _Shown | None:
        return self._cells[-1] if self._cells else None

    def at(self, cell: int) -> _Shown | None:
        place = cell - (self.end - len(self._cells))
        return self._cells[place] if 0 <= place < len(self._cells) else None

    def put(self, cell: _Shown | None) -> None:
        self._cells.append(cell)
        self.end += 1

    def forget(self, *, before: int, end: int) -> None:
        """Cells before that one; all of them where the next cell is another than the one that would come next."""
        if end != self.end:
            self._cells.clear()
            self.end = end
        while self._cells and self.end - len(self._cells) < before:
            self._cells.popleft()

    def stand_still(self, shown: _Shown) -> None:
        """The latest cells that show what `shown` does have a keyframe behind them that shows the same."""
        for cell in reversed(self._cells):
            if cell is None or cell.key != shown.key or cell.is_still:
                return
            cell.is_still = True


def differ(one_HWC: NDArray[np.uint8], other_HWC: NDArray[np.uint8]) -> bool:
    """Whether two pictures show different things: on the whole, or in one of 64 blocks."""
    difference_HW = np.abs(one_HWC.astype(np.int16) - other_HWC).mean(axis=2)
    if difference_HW.mean() > MAX_MEAN_LEVELS:
        return True
    height, width = (side // _BLOCKS * _BLOCKS for side in difference_HW.shape)
    if not height or not width:
        return False
    blocks = difference_HW[:height, :width].reshape(_BLOCKS, height // _BLOCKS, _BLOCKS, width // _BLOCKS)
    return bool(blocks.mean(axis=(1, 3)).max() > MAX_BLOCK_LEVELS)


def _as_cameras(picture: CellPicture) -> Picture:
    """As the streams' windows hold it; no clock of this machine says when it was taken."""
    return Picture(picture.frame_HWC, picture.view_B, picture.pts_s, 0.0, picture.width_px, picture.height_px)
