"""Which cameras this replica watches: takes leases, keeps them, gives them up. Knows no HTTP and no camera.

Alone it takes every stream that it can. Beside others it takes what `shares` gives it, and what a dead replica's lease
leaves.
"""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import Coroutine, Iterable

from ulid import ULID

from fovea.errors import InvalidOption, Overloaded, Unavailable
from fovea.words import StreamState
from service.addresses.policy import AddressPolicy
from service.ledger.base import REMOVED_S, Book, Fenced, Record
from service.streams import records
from service.streams.holding import Holding
from service.streams.shares import Replica, assign
from service.streams.snapshot import Snapshot
from service.streams.status import Status
from service.streams.subscription import Subscription
from service.streams.watcher import Parts

log = logging.getLogger(__name__)


class Supervisor:
    """After `lease_s` of silence others take a replica's streams over; leases are renewed four times as often.

    `max_streams`: over all replicas; `capacity`: that this one watches.
    """

    def __init__(self, parts: Parts, *, lease_s: float, max_streams: int, capacity: int) -> None:
        self._parts = parts
        self._lease_s = lease_s
        self._max_streams = max_streams
        self._capacity = capacity
        self._models = frozenset(offer.name for offer in parts.pipeline.catalogue)
        self._replica = f"rep_{ULID()}"
        self._held: dict[str, Holding] = {}
        self._deleted: dict[str, float] = {}  # by us, and when (monotonic): a ledger may forget that
        self._told: dict[str, frozenset[str]] = {}  # by topic, what the log holds already, as long as it is true
        self._nudged = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._leaving = False
        self._short_since_s: float | None = None  # monotonic: when what is ours to take began to be held elsewhere
        self._reachable = True

    @property
    def book(self) -> Book:
        return self._parts.book

    @property
    def held(self) -> frozenset[str]:
        """Ids of the streams that this replica holds, by its own clock."""
        return frozenset(stream for stream, holding in self._held.items() if holding.is_ours)

    @property
    def policy(self) -> AddressPolicy:
        return self._parts.terms.policy

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._watch_leases())]

    def leave(self) -> None:
        """Hand everything over now, and take nothing any more. May be called from a signal handler or any thread."""
        self._leaving = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._nudged.set)

    async def close(self) -> None:
        """Stop watching, and let others take over at once."""
        self.leave()
        if self._tasks:
            running, watching = self._tasks
            await asyncio.wait([running])
            watching.cancel()
            await asyncio.wait([watching])

    # -- what clients ask for

    async def subscribe(self, subscription: Subscription) -> Subscription:
        """The new subscription, or the one that was made by the same request before.

        Raises Overloaded where there are as many streams as there may be, InvalidOption where the id is another's,
        Unavailable.
        """
        stream = subscription.id
        match await self.book.add(records.subscription_record(subscription), self._max_streams):
            case "full":
                raise Overloaded(
                    f"{self._max_streams} streams are subscribed already, the most there may be; "
                    "delete one first, or raise FOVEA_MAX_STREAMS",
                    max_streams=self._max_streams,
                )
            case "removed":
                raise _id_used(f"id={stream} was deleted a short time ago")
            case "there":
                record = await self.book.record(stream)
                if record is None:
                    raise _id_used(f"id={stream} was deleted a moment ago")
                return _same(subscription, record)
        log.info("stream %s: %s with %s", stream, subscription.url, subscription.model)
        self._nudged.set()
        return subscription

    async def unsubscribe(self, stream: str) -> bool:
        """False where there is no such stream. Its followers are told."""
        last = Status(StreamState.DELETED, time.time(), None, 0, "all", None)
        record = await self.book.record(stream)
        removed = await self.book.remove(stream, records.note_of(last))
        if removed:
            await self._announce_end(record, last)
            log.info("stream %s: deleted", stream)
            self._deleted[stream] = time.monotonic()
            await self._end(stream)
        return removed

    async def _announce_end(self, record: Record | None, last: Status) -> None:
        announce = self._parts.announce
        if announce is None or record is None:
            return
        with contextlib.suppress(records.OtherVersion, Unavailable):
            await announce(records.subscription_of(record), "end", last)

    async def snapshot(self, stream: str) -> Snapshot | None:
        """The latest picture, whoever holds the stream; None where there is none. Raises Unavailable."""
        holding = self._held.get(stream)
        if holding is not None and (ours := holding.snapshot()) is not None:
            return ours
        blob = await self.book.blob(stream)
        with contextlib.suppress(ValueError):  # another version's
            return None if blob is None else Snapshot.unpacked(blob)
        return None

    # -- the loop

    async def _run(self) -> None:
        while not self._leaving:
            self._nudged.clear()
            try:
                await self._tick()
                if not self._reachable:
                    log.info("the ledger is back")
                self._reachable = True
            except Unavailable as error:
                if self._reachable:
                    log.warning("%s", error)
                self._reachable = False
            except Exception:  # the task's edge: the next turn may do
                log.exception("looking after streams failed; going on")
            self._parts.metrics.state_up.set(self._reachable)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s()):
                    await self._nudged.wait()
        await self._hand_all_over()

    def _pause_s(self) -> float:
        """Between two turns: shorter while somebody is about to hand over what is ours to take."""
        handing_over = self._short_since_s is not None and time.monotonic() - self._short_since_s < 2 * self._lease_s
        return self._lease_s / (16 if handing_over else 4)

    async def _watch_leases(self) -> None:
        """By our own clock, whatever the ledger takes to answer: a lease that is over is not ours any more."""
        while True:
            await asyncio.sleep(self._lease_s / 8)
            await asyncio.gather(*(holding.let_go_when_over() for holding in list(self._held.values())))

    async def _tick(self) -> None:
        ourselves = Replica(self._models, self._capacity, self.held)
        present = await self.book.present(self._replica, records.replica_text(ourselves), self._lease_s)
        await _all(self._keep(stream, holding) for stream, holding in list(self._held.items()))
        if len(present) > 1:  # others may be asked for what our cameras show
            await _all(_shown(holding) for holding in list(self._held.values()))
        kept = await self._readable(await self.book.records())
        models = {stream: subscription.model for stream, (_, subscription) in kept.items()}
        replicas = _readable_replicas(present) | {self._replica: Replica(self._models, self._capacity, self.held)}
        places = assign(models, replicas)
        self._tell_unserved({stream: model for stream, model in models.items() if stream not in places}, replicas)
        due = [stream for stream in kept if places.get(stream) == self._replica and stream not in self._held]
        for stream in due:
            if not self._leaving:
                await self._take(*kept[stream])
        is_short = any(stream not in self._held for stream in due)
        self._short_since_s = (self._short_since_s or time.monotonic()) if is_short else None
        elsewhere = [stream for stream in self._held if places.get(stream, self._replica) != self._replica]
        if elsewhere:  # one a turn, so that a new replica is not swamped
            await self._end(max(elsewhere), hand_over=True)

    async def _keep(self, stream: str, holding: Holding) -> None:
        """Renew the lease, say where the stream stands, and end it where nobody reads it any more."""
        keeping = await holding.keep()
        if keeping != "kept":
            log.info("stream %s is %s", stream, "held elsewhere" if keeping == "lost" else keeping)
            await self._end(stream)
            return
        if holding.is_broken:
            await self._end(stream, hand_over=True)
            return
        ttl_s = holding.subscription.ttl_s
        if ttl_s is not None and await self.book.unread_s(stream) > ttl_s:
            log.info("stream %s: nobody has read it for %g s", stream, ttl_s)
            await self.unsubscribe(stream)

    async def _readable(self, kept: list[Record]) -> dict[str, tuple[Record, Subscription]]:
        """What there is to watch: what another version subscribed is left alone, what we deleted is deleted again."""
        now_s = time.monotonic()
        self._deleted = {stream: at_s for stream, at_s in self._deleted.items() if now_s - at_s < REMOVED_S}
        readable = {}
        unreadable = []
        for record in kept:
            if record.id in self._deleted:  # its holder put it back into a ledger that had forgotten
                await self.unsubscribe(record.id)
                continue
            try:
                readable[record.id] = record, records.subscription_of(record)
            except records.OtherVersion as error:
                unreadable.append(f"stream {record.id} is left alone: {error}")
        self._tell_once("unreadable", unreadable)
        return readable

    def _tell_unserved(self, unserved: dict[str, str], replicas: dict[str, Replica]) -> None:
        sentences = []
        for stream, model in unserved.items():
            if any(model in replica.models for replica in replicas.values()):
                why = "every replica that has its model is at its capacity (FOVEA_MAX_REPLICA_STREAMS)"
            else:
                why = f"no replica has loaded its model {model!r}"
            sentences.append(f"stream {stream} is watched by nobody: {why}")
        self._tell_once("unserved", sentences)

    def _tell_once(self, topic: str, sentences: Iterable[str]) -> None:
        """Into the log, but only what it does not hold already."""
        now = frozenset(sentences)
        for sentence in sorted(now - self._told.get(topic, frozenset())):
            log.warning("%s", sentence)
        self._told[topic] = now

    async def _take(self, record: Record, subscription: Subscription) -> None:
        token, asked_s = f"{self._replica}:{ULID()}", time.monotonic()
        if not await self.book.take(record.id, token, self._lease_s):
            return
        epoch = records.epoch_of(await self.book.report(record.id))
        holding = Holding(record, subscription, token, self._parts, lease_s=self._lease_s, asked_s=asked_s)
        self._held[record.id] = holding
        holding.watch(epoch)

    async def _end(self, stream: str, *, hand_over: bool = False) -> None:
        holding = self._held.pop(stream, None)
        if holding is not None:
            await holding.end(hand_over=hand_over)

    async def _hand_all_over(self) -> None:
        """First our presence, so that others count without us."""
        with contextlib.suppress(Unavailable):
            await self.book.leave(self._replica)
        await asyncio.gather(*(self._end(stream, hand_over=True) for stream in list(self._held)))


async def _all(keeps: Iterable[Coroutine[None, None, None]]) -> None:
    """All at once, each to its end: then the first error, if there was one."""
    for ended in await asyncio.gather(*keeps, return_exceptions=True):
        if isinstance(ended, BaseException):
            raise ended


async def _shown(holding: Holding) -> None:
    with contextlib.suppress(Fenced):  # the next renewal tells
        await holding.show()


def _readable_replicas(present: dict[str, str]) -> dict[str, Replica]:
    """Those of another version look after themselves: what they hold has leases."""
    readable = {}
    for name, about in present.items():
        with contextlib.suppress(records.OtherVersion):
            readable[name] = records.replica_of(about)
    return readable


def _same(subscription: Subscription, record: Record) -> Subscription:
    """The one that is kept, where it is what was asked for. Raises InvalidOption."""
    try:
        kept = records.subscription_of(record)
    except records.OtherVersion:
        raise _id_used(f"id={record.id} was subscribed by another version of Fovea") from None
    if dataclasses.replace(subscription, created_s=kept.created_s) != kept:
        raise _id_used(f"id={record.id} is another subscription's")
    return kept


def _id_used(why: str) -> InvalidOption:
    return InvalidOption(f"{why}; an id is used once: leave it out, or make a new one", option="id")
