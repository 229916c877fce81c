"""Lets so many videos decode at once, and says whose is next. Knows no video and no clock.

Of those who wait, the owner goes first who was served the least for its weight, and of its own videos the oldest: a
long line of one owner's holds up nobody else's.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from service.engine.lanes import FairOrder, Owner


class Pass:
    """Leave to decode; given back once, however often `close` is called."""

    def __init__(self, gate: "Gate") -> None:
        self._gate: Gate | None = gate

    def close(self) -> None:
        if self._gate is not None:
            self._gate.leave()
            self._gate = None


class Gate:
    """`num_places` at once. One event loop's."""

    def __init__(self, num_places: int) -> None:
        self._num_free = num_places
        self._order: FairOrder[Owner] = FairOrder()
        self._waiting: dict[Owner, deque[asyncio.Future[None]]] = {}

    @contextmanager
    def _in_line(self, owner: Owner) -> Iterator["asyncio.Future[None]"]:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(waiter)
        try:
            yield waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # let in at the very moment of leaving
                self.leave()
            raise
        finally:
            waiter.cancel()

    async def enter(self, owner: Owner) -> Pass:
        """When it is the owner's turn."""
        with self._in_line(owner) as waiter:
            self._let_in()
            await waiter
        return Pass(self)

    def leave(self) -> None:
        self._num_free += 1
        self._let_in()

    def _let_in(self) -> None:
        while self._num_free and (waiter := self._next()) is not None:
            self._num_free -= 1
            waiter.set_result(None)

    def _next(self) -> "asyncio.Future[None] | None":
        for owner in list(self._waiting):
            line = self._waiting[owner]
            while line and line[0].done():  # they have left
                line.popleft()
            if not line:
                del self._waiting[owner]
        if not self._waiting:
            return None
        owner = self._order.next(self._waiting)
        self._order.serve(owner, 1)
        return self._waiting[owner].popleft()
