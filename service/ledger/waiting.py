"""Waits for the next event of a record, where the one who writes it is in the same process. Knows no event."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


class Bells:
    """One for each record that somebody waits for."""

    def __init__(self) -> None:
        self._bells: dict[str, asyncio.Event] = {}

    def ring(self, record_id: str) -> None:
        """Something was appended."""
        bell = self._bells.pop(record_id, None)
        if bell is not None:
            bell.set()

    async def wait(self, record_id: str, news: Callable[[], Awaitable[list[T]]], wait_s: float) -> list[T]:
        """What `news` finds, as soon as it finds anything; nothing, once `wait_s` is over."""
        deadline_s = asyncio.get_running_loop().time() + wait_s
        while True:
            if wait_s <= 0:
                return await news()
            bell = self._bells.setdefault(record_id, asyncio.Event())  # before looking, so that nothing slips through
            if found := await news():
                return found
            try:
                async with asyncio.timeout_at(deadline_s):
                    await bell.wait()
            except TimeoutError:
                return []
