"""The queue between those who accept work and those who do it, as a protocol. Knows no job: an item is an id.

An item is handed out until its work is done: at least once, also where the process dies that had it. Who must not do
a thing twice looks whether it is done already. Two twins: `local_queue` in one process, `redis_queue` between many.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias


class TryLater(Exception):
    """Raised by the work: the item comes again, here or elsewhere, after `delay_s`."""

    def __init__(self, why: str, *, delay_s: float) -> None:
        super().__init__(why)
        self.delay_s = delay_s


WorkOn: TypeAlias = Callable[[str], Awaitable[None]]
"""Done when it returns. Whatever else than TryLater it raises is a bug, which the log tells of: the item is dropped."""


class Queue(Protocol):
    """Of items that `start` is given the work for, so many at a time."""

    def start(self, work: WorkOn) -> None: ...

    async def put(self, item: str, *, delay_s: float = 0.0) -> None:
        """Once, however often it is put while it is there. Raises Unavailable where the queue cannot be reached."""
        ...

    async def close(self) -> None:
        """Take nothing more, and wait for the work that runs. What was not begun is another's, or the next start's."""
        ...
