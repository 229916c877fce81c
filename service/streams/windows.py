"""Lays sliding windows over a camera's cells. Knows no camera, no engine and no clock.

A window is the last T cells; the next one comes `stride_cells` later, so that overlapping windows share pictures. What
is kept are T pictures of the model's size, whatever the window's length: 1.2 MiB for 16 of 160 x 160.
Shape suffixes: T frames, H rows, W columns, C colours, B box sides.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from fovea.words import Mode
from video.camera.live import Cell, Picture
from video.clip import Clip, VideoInfo

FIRST_S = 0.5  # the first window of an epoch comes after that at the latest, however short and however long the stride


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """Pictures that stand for [start_s, end_s) of an epoch; `keys_T` tell equal ones apart from others."""

    pictures_T: tuple[Picture, ...]
    keys_T: tuple[int, ...]
    start_s: float
    end_s: float
    partial: bool  # the epoch is younger than a window: its pictures are spread over the frames
    mode: Mode

    @property
    def captured_s(self) -> float:
        """Monotonic: when the newest picture came."""
        return max(picture.captured_s for picture in self.pictures_T)

    def clip(self, codec: str, frames_decoded: int, num_crops: int = 1) -> Clip:
        newest = self.pictures_T[-1]
        return Clip(
            frames_THWC=np.stack([picture.frame_HWC for picture in self.pictures_T]),
            pts_s=tuple(max(0.0, picture.pts_s - self.start_s) for picture in self.pictures_T),
            view_TB=np.stack([picture.view_B for picture in self.pictures_T]),
            info=VideoInfo(
                duration_s=self.end_s - self.start_s,
                width_px=newest.width_px,
                height_px=newest.height_px,
                codec=codec,
                frames_decoded=frames_decoded,
                frames_sampled=len(set(self.keys_T)),
            ),
            num_crops=num_crops,
        )


class Windows:
    """Of one camera."""

    def __init__(self, num_frames: int, stride_cells: int, cell_s: float) -> None:
        self._num_frames = num_frames
        self._stride_cells = stride_cells
        self._cell_s = cell_s
        self._first_cells = max(1, round(FIRST_S / cell_s))
        self._next_key = 0  # never starts again: keys of different epochs differ
        self.start_anew()

    def start_anew(self) -> None:
        """A new epoch: no window reaches across."""
        self._cells: deque[tuple[int, Picture]] = deque(maxlen=self._num_frames)
        self._num_cells = 0
        self._first = True

    def take(self, cell: Cell) -> Window | None:
        """The next cell; a window where one is complete with it."""
        if cell.picture is not None:
            self._cells.append((self._next_key, cell.picture))
            self._next_key += 1
        elif self._cells:
            self._cells.append(self._cells[-1])
        else:
            return None  # nothing was seen yet
        self._num_cells += 1
        on_stride = (self._num_cells - self._num_frames) % self._stride_cells == 0
        if not on_stride and not (self._first and self._num_cells >= self._first_cells):
            return None
        self._first = False
        return self._window(cell)

    def _window(self, cell: Cell) -> Window:
        num_cells, num_frames = len(self._cells), self._num_frames
        chosen = [self._cells[index * num_cells // num_frames] for index in range(num_frames)]
        return Window(
            pictures_T=tuple(picture for _, picture in chosen),
            keys_T=tuple(key for key, _ in chosen),
            start_s=(cell.index + 1 - num_cells) * self._cell_s,
            end_s=(cell.index + 1) * self._cell_s,
            partial=num_cells < num_frames,
            mode=cell.progress.mode,
        )
