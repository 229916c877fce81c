"""Which windows decide what is said of a stretch that moves: in each, those that hold the most of it. Knows no video.

Windows overlap, and what happens lies whole in few of them. Steps that cost are worth the most there.
"""

from collections import deque
from collections.abc import Iterator

from service.timelines.plan import WindowGrid, num_within_half

CUT = 2  # different pictures: one scene and then another, and nothing moves


class Deciders:
    """Hears how many different pictures each window in a row shows; tells of each whether it decides.

    A window decides where it shows more than a cut, and none within half a window of it shows more. Of those that show
    as much one a window's length decides, the first.
    """

    def __init__(self, window_s: float, stride_s: float) -> None:
        self.num_ahead = num_within_half(window_s, stride_s)  # windows behind one that are heard before it is told
        self._apart = max(1, round(window_s / stride_s))
        self._heard: deque[int] = deque()  # the last that were told, the next one to be told, those behind it
        self._num_told = 0
        self._latest = 0, 0  # of those that decide: its number, what it shows

    @classmethod
    def of(cls, grid: WindowGrid) -> "Deciders":
        return cls(grid.window_s, grid.stride_s)

    def take(self, num_pictures: int) -> Iterator[bool]:
        self._heard.append(num_pictures)
        if len(self._heard) > min(self._num_told, self.num_ahead) + self.num_ahead:
            yield self._told()

    def end(self) -> Iterator[bool]:
        """Of the windows that are left; no other comes."""
        while len(self._heard) > min(self._num_told, self.num_ahead):
            yield self._told()

    def _told(self) -> bool:
        num_before = min(self._num_told, self.num_ahead)
        shown = self._heard[num_before]
        number, most = self._latest
        follows = most >= shown and self._num_told - number < self._apart
        decides = shown > CUT and shown == max(self._heard) and not follows
        if decides:
            self._latest = self._num_told, shown
        if num_before == self.num_ahead:
            self._heard.popleft()
        self._num_told += 1
        return decides
