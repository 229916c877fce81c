"""A ledger in the memory of one process: the simplest of the three twins, for tests. One event loop's."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.ledger.base import (
    BEFORE_ALL,
    LAST_WORDS_S,
    REMOVED_S,
    Adding,
    Event,
    Keeping,
    Kind,
    Note,
    Record,
    fenced,
    id_key,
    id_text,
)
from service.ledger.counters import Counters, MemoryCounters
from service.ledger.holds import Holds
from service.ledger.waiting import Bells


@dataclass(slots=True)
class _Page:
    """Of one record."""

    events: deque[Event]
    record: Record | None = None
    report: str | None = None
    removed_s: float | None = None


@dataclass(slots=True)
class MemoryBook:
    """`wall` gives the time that ids are made of; it may jump."""

    events_kept: int
    wall: Callable[[], float]
    holds: Holds
    _pages: dict[str, _Page] = field(default_factory=dict)
    _bells: Bells = field(default_factory=Bells)

    async def add(self, record: Record, limit: int) -> Adding:
        page = self._page(record.id)
        if page is not None:
            return "removed" if page.record is None else "there"
        if len(await self.records()) >= limit:
            return "full"
        self._pages[record.id] = _Page(deque(maxlen=self.events_kept), record)
        return "added"

    async def records(self) -> list[Record]:
        return sorted((page.record for page in self._pages.values() if page.record), key=lambda record: record.id)

    async def record(self, record_id: str) -> Record | None:
        page = self._page(record_id)
        return None if page is None else page.record

    async def remove(self, record_id: str, last: Note | None = None) -> bool:
        page = self._page(record_id)
        if page is None or page.record is None:
            return False
        page.record, page.report, page.removed_s = None, None, self.holds.clock()
        self.holds.forget(record_id)
        if last is not None:
            self._append(record_id, page, last, None)
        return True

    async def read(self, record_id: str) -> None:
        self.holds.read(record_id)

    async def unread_s(self, record_id: str) -> float:
        return self.holds.unread_s(record_id)

    async def take(self, record_id: str, token: str, lease_s: float) -> bool:
        return await self.record(record_id) is not None and self.holds.take(record_id, token, lease_s)

    async def keep(self, record: Record, token: str, lease_s: float, report: str | None = None) -> Keeping:
        page = self._page(record.id)
        if page is None or page.record is None:
            return "removed"
        keeping = self.holds.keep(record.id, token, lease_s)
        if keeping == "kept" and report is not None:
            page.report = report
        return keeping

    async def give_up(self, record_id: str, token: str) -> None:
        self.holds.give_up(record_id, token)

    async def append(
        self, record_id: str, token: str, note: Note, *, after: str | None = None, report: str | None = None
    ) -> str:
        page = self._page(record_id)
        if page is None or page.record is None:
            raise fenced(record_id)
        self.holds.check(record_id, token)
        page.report = page.report if report is None else report
        return self._append(record_id, page, note, after)

    async def report(self, record_id: str) -> str | None:
        page = self._page(record_id)
        return None if page is None else page.report

    async def reports(self, record_ids: Sequence[str]) -> dict[str, str]:
        told = {record_id: await self.report(record_id) for record_id in record_ids}
        return {record_id: text for record_id, text in told.items() if text is not None}

    async def events(self, record_id: str, after: str, *, wait_s: float = 0.0, limit: int = 100) -> list[Event]:
        after_key = id_key(after)

        async def news() -> list[Event]:
            page = self._page(record_id)
            kept = [] if page is None else page.events
            return [event for event in kept if id_key(event.id) > after_key][:limit]

        return await self._bells.wait(record_id, news, wait_s)

    async def last_id(self, record_id: str) -> str | None:
        page = self._page(record_id)
        return None if page is None or not page.events else page.events[-1].id

    async def put_blob(self, record_id: str, token: str, blob: bytes, for_s: float) -> None:
        if await self.record(record_id) is None:
            raise fenced(record_id)
        self.holds.put_blob(record_id, token, blob, for_s)

    async def blob(self, record_id: str) -> bytes | None:
        return self.holds.blob(record_id)

    async def present(self, replica: str, about: str, for_s: float) -> dict[str, str]:
        return self.holds.present(replica, about, for_s)

    async def leave(self, replica: str) -> None:
        self.holds.leave(replica)

    def _page(self, record_id: str) -> _Page | None:
        page = self._pages.get(record_id)
        if page is None or page.removed_s is None:
            return page
        removed_for_s = self.holds.clock() - page.removed_s
        if removed_for_s > LAST_WORDS_S:
            page.events.clear()
        if removed_for_s > REMOVED_S:
            del self._pages[record_id]
            return None
        return page

    def _append(self, record_id: str, page: _Page, note: Note, after: str | None) -> str:
        before = max(page.events[-1].id if page.events else BEFORE_ALL, after or BEFORE_ALL, key=id_key)
        milliseconds, sequence = id_key(before)
        event_id = id_text(max((int(self.wall() * 1000), 0), (milliseconds, sequence + 1)))  # the clock may be put back
        page.events.append(Event(event_id, before, note.name, note.data))
        self._bells.ring(record_id)
        return event_id


class MemoryLedger:
    def __init__(self, *, wall: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic) -> None:
        self._wall = wall
        self._clock = clock
        self._books: dict[Kind, MemoryBook] = {}
        self._counters = MemoryCounters()

    async def open(self) -> None:
        await asyncio.sleep(0)

    def book(self, kind: Kind, *, events_kept: int) -> MemoryBook:
        return self._books.setdefault(kind, MemoryBook(events_kept, self._wall, Holds(self._clock)))

    def counters(self) -> Counters:
        return self._counters

    async def close(self) -> None:
        self._books.clear()
