"""Windows of a long video that are decoded before their turn: which of them decides, those behind it tell.

What cannot be decoded is raised once its turn comes, so that the windows before it are told. Knows no model.
"""

from collections.abc import Iterator

from fovea.errors import VideoError
from service.streams.windows import Window
from service.timelines.deciding import Deciders
from service.timelines.plan import WindowGrid
from service.timelines.reel import Reel


class Ahead:
    """Of one video, by the windows' numbers, which go forward."""

    def __init__(self, reel: Reel, grid: WindowGrid, *, keyframes_alone: bool) -> None:
        self._reel, self._grid, self._keyframes_alone = reel, grid, keyframes_alone
        self._deciders = Deciders.of(grid)
        self._decoded: dict[int, Window | None] = {}  # and not looked at yet
        self._failure: VideoError | None = None  # of a window behind those that are decoded: its turn has not come
        self._num_heard = self._num_decided = 0  # of windows, by those who decide; of those, what was told
        self._decides: dict[int, bool] = {}

    async def scout(self, number: int) -> Window | None:
        """At the window's keyframes, while the file can be read; once it cannot, windows that are decoded do alone.

        Raises VideoError kin.
        """
        if self._failure is not None:
            return None
        try:
            return await self._reel.scout(self._grid.first_cell(number), self._grid.num_cells)
        except VideoError as failure:
            if number not in self._decoded:
                raise
            self._failure = failure
            return None

    async def see(self, number: int) -> tuple[Window | None, bool]:
        """Decode a window and as many behind it as tell whether it decides; whether it does.

        None where it has no pictures. Raises VideoError kin.
        """
        if self._failure is not None and number not in self._decoded:
            raise self._failure
        for _ in range(self._num_heard, number):
            self._hear(1)  # nothing of those was decoded: they said what others had said
        end = min(self._grid.num_windows, number + self._deciders.num_ahead + 1)
        if self._failure is None:
            await self._decode(number, end)
        if end == self._grid.num_windows or self._failure is not None:
            self._decide(self._deciders.end())
        self._decides = {other: decides for other, decides in self._decides.items() if other >= number}
        return self._decoded[number], self._decides[number]

    def forget(self, number: int) -> None:
        """Its turn is over."""
        self._decoded.pop(number, None)

    async def _decode(self, number: int, end: int) -> None:
        """Windows that are not decoded yet, from `number` on up to `end`."""
        for other in range(self._num_heard, end):
            try:
                window = await self._window(self._grid.first_cell(other))
            except VideoError as failure:
                if other == number:
                    raise
                self._failure = failure
                return
            self._decoded[other] = window
            self._hear(0 if window is None else len(set(window.keys_T)))

    async def _window(self, first: int) -> Window | None:
        if self._keyframes_alone:
            return await self._reel.scout(first, self._grid.num_cells)
        return await self._reel.look(first)

    def _hear(self, num_pictures: int) -> None:
        self._num_heard += 1
        self._decide(self._deciders.take(num_pictures))

    def _decide(self, told: Iterator[bool]) -> None:
        for decides in told:
            self._decides[self._num_decided] = decides
            self._num_decided += 1
