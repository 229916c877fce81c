"""The state of a single process, in its memory: the twin of `redis_state`. One event loop's."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from service.ledger.base import Event, Keeping, Record, fenced, free, id_key

REMOVED_KEPT_S = 60.0  # that a removed stream's last events can still be read


@dataclass(slots=True)
class _Stream:
    record: Record
    events: deque[Event]
    read_s: float
    last_id: tuple[int, int] = (0, 0)
    token: str | None = None
    lease_ends_s: float = 0.0
    status: str | None = None
    removed_s: float | None = None
    grown: asyncio.Event = field(default_factory=asyncio.Event)  # set and replaced with every event


class MemoryLedger:
    """`events_kept` of each stream. `wall` gives the time that ids are made of; it may jump."""

    def __init__(
        self, *, events_kept: int, wall: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._events_kept = events_kept
        self._wall = wall
        self._clock = clock
        self._streams: dict[str, _Stream] = {}
        self._replicas: dict[str, float] = {}

    async def add(self, record: Record, limit: int) -> bool:
        if len(self._living()) >= limit:
            return False
        self._streams[record.id] = _Stream(record, deque(maxlen=self._events_kept), self._clock())
        return True

    async def records(self) -> list[Record]:
        return sorted((stream.record for stream in self._living()), key=lambda record: record.id)

    async def record(self, stream: str) -> Record | None:
        found = self._stream(stream)
        return None if found is None else found.record

    async def remove(self, stream: str, last: Event | None = None) -> bool:
        found = self._stream(stream)
        if found is None:
            return False
        if last is not None:
            self._append(found, last.name, last.data, None)
        found.removed_s, found.token = self._clock(), None
        return True

    async def read(self, stream: str) -> None:
        if (found := self._stream(stream)) is not None:
            found.read_s = self._clock()

    async def unread_s(self, stream: str) -> float:
        found = self._stream(stream)
        return 0.0 if found is None else self._clock() - found.read_s

    async def take(self, stream: str, token: str, lease_s: float) -> bool:
        found = self._stream(stream)
        if found is None or self._holder(found) is not None:
            return False
        found.token, found.lease_ends_s = token, self._clock() + lease_s
        return True

    async def keep(self, record: Record, token: str, lease_s: float) -> Keeping:
        found = self._stream(record.id)
        if found is None:
            return "removed"
        if self._holder(found) not in {None, token}:
            return "lost"
        found.token, found.lease_ends_s = token, self._clock() + lease_s
        return "kept"

    async def give_up(self, stream: str, token: str) -> None:
        found = self._stream(stream)
        if found is not None and found.token == token:
            found.token = None

    async def append(self, stream: str, token: str, name: str, data: str, *, after: str | None = None) -> str:
        return self._append(self._held(stream, token), name, data, after)

    async def report(self, stream: str, token: str, status: str) -> None:
        self._held(stream, token).status = status

    async def status(self, stream: str) -> str | None:
        found = self._stream(stream)
        return None if found is None else found.status

    async def events(self, stream: str, after: str, *, wait_s: float = 0.0, limit: int = 100) -> list[Event]:
        after_key = id_key(after)
        deadline_s = asyncio.get_running_loop().time() + wait_s
        while (found := self._streams.get(stream)) is not None:
            news = [event for event in found.events if id_key(event.id) > after_key][:limit]
            if news:
                return news
            try:
                async with asyncio.timeout_at(deadline_s):
                    await found.grown.wait()
            except TimeoutError:
                break
        return []

    async def ends(self, stream: str) -> tuple[str, str] | None:
        found = self._streams.get(stream)
        return (found.events[0].id, found.events[-1].id) if found is not None and found.events else None

    async def present(self, replica: str, for_s: float) -> Sequence[str]:
        now_s = self._clock()
        self._replicas[replica] = now_s + for_s
        self._replicas = {name: until_s for name, until_s in self._replicas.items() if until_s > now_s}
        return sorted(self._replicas)

    async def close(self) -> None:
        self._streams.clear()

    def _living(self) -> list[_Stream]:
        now_s = self._clock()
        for name, stream in list(self._streams.items()):
            if stream.removed_s is not None and now_s - stream.removed_s > REMOVED_KEPT_S:
                del self._streams[name]
        return [stream for stream in self._streams.values() if stream.removed_s is None]

    def _stream(self, name: str) -> _Stream | None:
        found = self._streams.get(name)
        return found if found is not None and found.removed_s is None else None

    def _holder(self, stream: _Stream) -> str | None:
        return stream.token if self._clock() < stream.lease_ends_s else None

    def _held(self, name: str, token: str) -> _Stream:
        found = self._stream(name)
        holder = None if found is None else self._holder(found)
        if found is None or holder not in {None, token}:
            raise fenced(name)
        if holder is None:
            raise free(name)
        return found

    def _append(self, stream: _Stream, name: str, data: str, after: str | None) -> str:
        milliseconds, sequence = stream.last_id if after is None else max(stream.last_id, id_key(after))
        now = int(self._wall() * 1000), 0
        stream.last_id = max(now, (milliseconds, sequence + 1))  # also where the clock was put back
        event = Event("{}-{}".format(*stream.last_id), name, data)
        stream.events.append(event)
        stream.grown.set()
        stream.grown = asyncio.Event()
        return event.id
