"""The queue of one process: items wait in memory, since the ledger beside it knows what is not done yet.

Whoever starts it puts in again what the ledger holds. Knows no ledger and no job.
"""

import asyncio
import logging

from service.jobs.queue import TryLater, WorkOn

log = logging.getLogger(__name__)

LEAST_S = 0.05  # before an item comes again: nobody else takes it, and the loop has other things to do


class LocalQueue:
    """In the order in which items came; `concurrency` at a time."""

    def __init__(self, *, concurrency: int) -> None:
        self._concurrency = concurrency
        self._items: asyncio.Queue[str] = asyncio.Queue()
        self._there: set[str] = set()  # waiting, delayed or being worked on
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._busy: set[asyncio.Task[None]] = set()
        self._consumers: list[asyncio.Task[None]] = []
        self._closing = False

    def start(self, work: WorkOn) -> None:
        self._consumers = [asyncio.create_task(self._consume(work)) for _ in range(self._concurrency)]

    async def put(self, item: str, *, delay_s: float = 0.0) -> None:
        if item not in self._there:
            self._there.add(item)
            self._enter(item, delay_s)

    async def close(self) -> None:
        self._closing = True
        for timer in self._timers.values():
            timer.cancel()
        for consumer in self._consumers:
            if consumer not in self._busy:
                consumer.cancel()
        await asyncio.gather(*self._consumers, return_exceptions=True)

    def _enter(self, item: str, delay_s: float) -> None:
        if delay_s > 0:
            self._timers[item] = asyncio.get_running_loop().call_later(delay_s, self._due, item)
        else:
            self._items.put_nowait(item)

    def _due(self, item: str) -> None:
        del self._timers[item]
        self._items.put_nowait(item)

    async def _consume(self, work: WorkOn) -> None:
        this = asyncio.current_task()
        assert this is not None
        while not self._closing:
            item = await self._items.get()
            self._busy.add(this)
            try:
                await work(item)
            except TryLater as later:
                self._enter(item, max(LEAST_S, later.delay_s))
                continue
            except Exception:  # the task's edge: one item's bug is not the others'
                log.exception("working on %s failed", item)
            finally:
                self._busy.discard(this)
            self._there.discard(item)
