"""Which cameras this replica watches: takes leases, keeps them, gives them up. Knows no HTTP and no camera.

Alone it takes every stream. Beside others it takes its share, and what a dead replica's lease leaves.
"""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass

from ulid import ULID

from fovea.errors import Overloaded, Unavailable
from fovea.words import StreamState
from service.ledger.base import Book, Record
from service.streams import records
from service.streams.address import AddressPolicy
from service.streams.status import Status
from service.streams.subscription import Subscription
from service.streams.watcher import Parts, Watcher

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    watcher: Watcher
    record: Record
    task: asyncio.Task[None]


class Supervisor:
    """After `lease_s` of silence others take a replica's streams over; leases are renewed four times as often."""

    def __init__(self, parts: Parts, *, lease_s: float, max_streams: int) -> None:
        self._parts = parts
        self._lease_s = lease_s
        self._max_streams = max_streams
        self._replica = f"rep_{ULID()}"
        self._held: dict[str, _Held] = {}
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._reachable = True
        self._unreadable: set[str] = set()  # ids that the log has told of

    @property
    def book(self) -> Book:
        return self._parts.book

    @property
    def held(self) -> frozenset[str]:
        """Ids of the streams that this replica watches."""
        return frozenset(self._held)

    @property
    def policy(self) -> AddressPolicy:
        return self._parts.terms.policy

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop watching, and let others take over at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        await asyncio.gather(*(self._stop(stream, hand_over=True) for stream in list(self._held)))

    # -- what clients ask for

    async def subscribe(self, subscription: Subscription) -> None:
        """Raises Overloaded where there are as many streams as there may be, Unavailable."""
        record = records.subscription_record(subscription)
        if await self.book.add(record, self._max_streams) == "full":
            raise Overloaded(
                f"{self._max_streams} streams are subscribed already, the most there may be; "
                "delete one first, or raise FOVEA_MAX_STREAMS",
                max_streams=self._max_streams,
            )
        log.info("stream %s: %s with %s", subscription.id, subscription.url, subscription.model)
        self._nudged.set()

    async def unsubscribe(self, stream: str) -> bool:
        """False where there is no such stream. Its followers are told."""
        last = Status(StreamState.DELETED, time.time(), None, 0, "all", None)
        removed = await self.book.remove(stream, records.note_of(last))
        if removed:
            log.info("stream %s: deleted", stream)
            await self._stop(stream)
        return removed

    # -- the loop

    async def _run(self) -> None:
        while True:
            self._nudged.clear()
            try:
                await self._tick()
                if not self._reachable:
                    log.info("the shared state is back")
                self._reachable = True
            except Unavailable as error:
                if self._reachable:
                    log.warning("%s", error)
                self._reachable = False
            except Exception:  # the task's edge: the next turn may do
                log.exception("looking after streams failed; going on")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lease_s / 4):
                    await self._nudged.wait()

    async def _tick(self) -> None:
        replicas = await self.book.present(self._replica, "", self._lease_s)
        for stream, held in list(self._held.items()):
            await self._keep(stream, held)
        kept = await self.book.records()
        share = -(-len(kept) // len(replicas))
        for record in kept:
            if record.id not in self._held and len(self._held) < share:
                await self._take(record)
        if len(self._held) > share and len(replicas) > 1:  # one a turn, so that a new replica is not swamped
            await self._stop(max(self._held), hand_over=True)

    async def _keep(self, stream: str, held: _Held) -> None:
        """Renew the lease, say where the stream stands, and end it where nobody reads it any more."""
        journal = held.watcher.journal
        keeping = await self.book.keep(held.record, journal.token, self._lease_s, journal.report())
        if keeping != "kept":
            log.info("stream %s is %s", stream, "held elsewhere" if keeping == "lost" else keeping)
            await self._stop(stream)
            return
        if held.task.done():  # fenced off for a moment, or a bug, which the log tells of
            await self._stop(stream, hand_over=True)
            return
        ttl_s = held.watcher.subscription.ttl_s
        if ttl_s is not None and await self.book.unread_s(stream) > ttl_s:
            log.info("stream %s: nobody has read it for %g s", stream, ttl_s)
            await self.unsubscribe(stream)

    async def _take(self, record: Record) -> None:
        try:
            subscription = records.subscription_of(record)
        except records.OtherVersion as error:
            if record.id not in self._unreadable:
                self._unreadable.add(record.id)
                log.warning("stream %s is left alone: %s", record.id, error)
            return
        if subscription.model not in {offer.name for offer in self._parts.pipeline.catalogue}:
            return  # only others have loaded it: theirs to take
        token = f"{self._replica}:{ULID()}"
        if not await self.book.take(record.id, token, self._lease_s):
            return
        epoch = records.epoch_of(await self.book.report(record.id))
        watcher = Watcher(subscription, token, self._parts, epoch=epoch)
        task = asyncio.create_task(self._watch(watcher))
        self._held[record.id] = _Held(watcher, record, task)

    async def _watch(self, watcher: Watcher) -> None:
        try:
            await watcher.run()
        except Exception:  # the task's edge: one camera's bug is not the others'
            log.exception("watching stream %s failed", watcher.subscription.id)

    async def _stop(self, stream: str, *, hand_over: bool = False) -> None:
        held = self._held.pop(stream, None)
        if held is None:
            return
        held.task.cancel()
        await asyncio.wait([held.task])
        if hand_over:
            with contextlib.suppress(Unavailable):
                await held.watcher.journal.hand_over()
                await self.book.give_up(stream, held.watcher.journal.token)
