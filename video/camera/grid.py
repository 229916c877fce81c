"""Which frame stands for which cell of a camera's time grid: arithmetic on the fly. Knows neither libav nor pixels.

Cell k covers [k, k + 1) cell lengths from the anchor, the time of the first frame. Its frame is the one nearest to its
centre, the earlier on a tie, as in a file (`sampling.choose`): whatever windows are laid over whole cells, a frame is
chosen and converted once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

FrameT = TypeVar("FrameT")


@dataclass(frozen=True, slots=True)
class Settled(Generic[FrameT]):
    """Cell `index` has its frame, shown at `time_s`; None where no frame fell into it."""

    index: int
    frame: FrameT | None
    time_s: Fraction


class Grid(Generic[FrameT]):
    """Fed with frames in the order in which they are shown; yields cells as soon as nothing can change them."""

    def __init__(self, cell_s: Fraction) -> None:
        assert cell_s > 0
        self._cell_s = cell_s
        self.anchor_s: Fraction | None = None  # the time of the first frame, from which `Settled.time_s` counts
        self._next = 0  # the first cell that is not settled
        self._best: tuple[Fraction, FrameT] | None = None  # of that cell: the latest frame before its centre

    def frame(self, time_s: Fraction, frame: FrameT) -> Iterator[Settled[FrameT]]:
        """A frame of that time. It is dropped where its cell is settled already; `is_late` tells."""
        if self.anchor_s is None:
            self.anchor_s = time_s
        yield from self.advance(time_s)
        if self.is_late(time_s):
            return
        time_s -= self.anchor_s
        centre_s = (self._next + Fraction(1, 2)) * self._cell_s
        if time_s < centre_s:
            self._best = time_s, frame
            return
        if self._best is None or centre_s - self._best[0] > time_s - centre_s:
            self._best = time_s, frame
        yield self._settle()

    def advance(self, time_s: Fraction) -> Iterator[Settled[FrameT]]:
        """Nothing shown before that time will come any more."""
        if self.anchor_s is not None:
            while self._next < self._cell_of(time_s):
                yield self._settle()

    def is_late(self, time_s: Fraction) -> bool:
        """Whether the cell of that time is settled."""
        return self.anchor_s is not None and self._cell_of(time_s) < self._next

    def _cell_of(self, time_s: Fraction) -> int:
        assert self.anchor_s is not None
        return (time_s - self.anchor_s) // self._cell_s

    def _settle(self) -> Settled[FrameT]:
        index, best = self._next, self._best
        self._next, self._best = index + 1, None
        if best is None:
            return Settled(index, None, index * self._cell_s)
        return Settled(index, best[1], best[0])
