"""Lets so many videos decode at once, and says whose is next. Knows no video.

Of those who wait, the owner goes first who was served the least for its weight, and of its own videos the oldest: a
long line of one owner's holds up nobody else's. While another owner is about that has none, and none in line, the last
free place is kept for it: it finds a decoder at once, and need not wait for another's video to be done. And while
a video of its is decoded or on the device, an owner of which the device has enough does not decode: it would only take
the cores.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.engine.lanes import FairOrder, Owner

ABOUT_S = 5.0  # that an owner counts as being about after it came last
AGAIN_S = 0.02  # between looks at whether the device still has enough of an owner that waits


class Pass:
    """Leave to decode; given back once, however often `close` is called."""

    def __init__(self, gate: "Gate", owner: Owner) -> None:
        self._gate: Gate | None = gate
        self._owner = owner

    def close(self) -> None:
        if self._gate is not None:
            self._gate.leave(self._owner)
            self._gate = None


class Gate:
    """`num_places` at once. One event loop's. `about_s`: how long an owner counts as being about after it came last."""

    def __init__(
        self,
        num_places: int,
        clock: Callable[[], float] = time.monotonic,
        num_ahead: Callable[[Owner], int] = lambda owner: 0,
        *,
        about_s: float = ABOUT_S,
    ) -> None:
        """`num_ahead`: how many of an owner's videos are decoded, and wait for the device or are there."""
        self._num_places = num_places
        self._clock = clock
        self._num_ahead = num_ahead
        self._about_s = about_s
        self._look_again: asyncio.TimerHandle | None = None
        self._order: FairOrder[Owner] = FairOrder()
        self._waiting: dict[Owner, deque[asyncio.Future[None]]] = {}
        self._inside: Counter[Owner] = Counter()
        self._came_s: dict[Owner, float] = {}  # the last time

    @property
    def _num_free(self) -> int:
        return self._num_places - self._inside.total()

    @contextmanager
    def _in_line(self, owner: Owner) -> Iterator["asyncio.Future[None]"]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(waiter)
        try:
            yield waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # let in at the very moment of leaving
                self.leave(owner)
            raise
        finally:
            waiter.cancel()

    async def enter(self, owner: Owner) -> Pass:
        """When it is the owner's turn."""
        self._came_s[owner] = self._clock()
        with self._in_line(owner) as waiter:
            self._let_in()
            await waiter
        return Pass(self, owner)

    def leave(self, owner: Owner) -> None:
        self._inside[owner] -= 1
        self._inside += Counter()  # those who have none are not kept
        self._let_in()

    def _let_in(self) -> None:
        while self._num_free and (owner := self._next()) is not None:
            self._inside[owner] += 1
            self._order.serve(owner, 1)
            self._waiting[owner].popleft().set_result(None)

    def _next(self) -> Owner | None:
        for owner in list(self._waiting):
            line = self._waiting[owner]
            while line and line[0].done():  # they have left
                line.popleft()
            if not line:
                del self._waiting[owner]
        able = [owner for owner in self._waiting if self._num_free > 1 or not self._keeps_last_place_from(owner)]
        able = [owner for owner in able if not self._steps_back(owner)]
        able.sort(key=lambda owner: self._inside[owner] > 0)  # of those who were served alike, who has none
        return self._order.next(able) if able else None

    def _steps_back(self, owner: Owner) -> bool:
        """Whether the device has enough of its videos, and little of another's that decodes now or is on the device."""
        if self._num_ahead(owner) < self._num_places:
            return False
        steps_back = any(self._is_here_with_little(one) for one in self._came_s if one != owner)
        if steps_back and self._look_again is None:  # the device may be through with them sooner
            self._look_again = asyncio.get_running_loop().call_later(AGAIN_S, self._again)
        return steps_back

    def _is_here_with_little(self, owner: Owner) -> bool:
        num_ahead = self._num_ahead(owner)
        return num_ahead < self._num_places and (self._inside[owner] > 0 or num_ahead > 0)

    def _again(self) -> None:
        self._look_again = None
        self._let_in()

    def _keeps_last_place_from(self, owner: Owner) -> bool:
        since_s = self._clock() - self._about_s
        self._came_s = {one: came_s for one, came_s in self._came_s.items() if came_s >= since_s}
        others = (one for one in self._came_s if one not in self._waiting)  # among those who wait the order decides
        return self._inside[owner] > 0 and any(not self._inside[one] for one in others)
