"""Whose turn it is for the next free child: cheap videos as they come, costly ones apart. Knows no process, no video.

Costly ones have half of the children at most, and take one when no cheap one waits; one that waited for long goes
first. So a cheap video never waits for a costly one where there are two children or more.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

_PATIENCE_S = 30.0  # that a costly video lets cheap ones go first

T = TypeVar("T")


def num_costly_at_once(num_children: int) -> int:
    """Of so many children, how many may decode costly videos at once."""
    return max(1, num_children // 2)


class Turns(Generic[T]):
    """Hands free children to those who wait. One event loop's. `is_usable`: a child may have died while it was free."""

    def __init__(
        self, num_children: int, is_usable: Callable[[T], bool], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_costly = num_costly_at_once(num_children)
        self._is_usable = is_usable
        self._clock = clock
        self._free: deque[T] = deque()
        self._cheap: deque[asyncio.Future[T]] = deque()
        self._costly: deque[tuple[float, asyncio.Future[T]]] = deque()  # with the time since when it waits
        self._num_costly_running = 0

    @property
    def num_waiting(self) -> int:
        return sum(not waiter.done() for waiter in (*self._cheap, *(waiter for _, waiter in self._costly)))

    async def take(self, *, is_costly: bool) -> T:
        """A child, when it is one's turn. Whoever is costly calls `costly_ended` once, later."""
        waiter: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        if is_costly:
            self._costly.append((self._clock(), waiter))
        else:
            self._cheap.append(waiter)
        self._hand_out()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._num_costly_running -= is_costly
                self.offer(waiter.result())  # cancelled in the very moment a child became free
            raise

    @property
    def has_free(self) -> bool:
        self._forget_unusable()
        return bool(self._free)

    def take_idle(self) -> T | None:
        """A child that nobody waits for, if there is one."""
        self._forget_unusable()
        return self._free.popleft() if self._free and not self.num_waiting else None

    def _forget_unusable(self) -> None:
        while self._free and not self._is_usable(self._free[0]):
            self._free.popleft()

    def offer(self, child: T) -> None:
        """A child is free."""
        self._free.append(child)
        self._hand_out()

    def costly_ended(self) -> None:
        self._num_costly_running -= 1
        self._hand_out()

    def fail(self, error: Exception) -> None:
        """Tell all who wait."""
        for waiter in (*self._cheap, *(waiter for _, waiter in self._costly)):
            if not waiter.done():
                waiter.set_exception(error)

    def _hand_out(self) -> None:
        while self._free:
            if not self._is_usable(self._free[0]):
                self._free.popleft()
            elif (waiter := self._next()) is not None:
                waiter.set_result(self._free.popleft())
            else:
                return

    def _next(self) -> asyncio.Future[T] | None:
        while self._cheap and self._cheap[0].done():  # they have left
            self._cheap.popleft()
        while self._costly and self._costly[0][1].done():
            self._costly.popleft()
        if self._costly and self._num_costly_running < self._max_costly:
            since_s, waiter = self._costly[0]
            if not self._cheap or self._clock() - since_s > _PATIENCE_S:
                self._costly.popleft()
                self._num_costly_running += 1
                return waiter
        return self._cheap.popleft() if self._cheap else None
