"""Which cameras this replica watches: takes leases, keeps them, gives them up. Knows no HTTP and no camera.

Alone (memory state) it takes every stream. Beside others it takes its share, and what a dead replica's lease leaves.
"""

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass

from ulid import ULID

from fovea.errors import Overloaded, Unavailable
from fovea.words import StreamState
from service.ledger.base import Event, Fenced, Record, State
from service.streams.address import AddressPolicy
from service.streams.status import Status
from service.streams.subscription import Subscription, is_ours
from service.streams.watcher import Parts, Watcher

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    watcher: Watcher
    record: Record
    task: asyncio.Task[None]


class Supervisor:
    """After `lease_s` of silence others take a replica's streams over; leases are renewed four times as often."""

    def __init__(self, state: State, parts: Parts, *, lease_s: float, max_streams: int) -> None:
        self.state = state
        self._parts = parts
        self._lease_s = lease_s
        self._max_streams = max_streams
        self._replica = f"rep_{ULID()}"
        self._held: dict[str, _Held] = {}
        self._nudged = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._reachable = True

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
        if not await self.state.add(subscription.record(), self._max_streams):
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
        removed = await self.state.remove(stream, Event("", "state", self._parts.wording.state(stream, last)))
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
        replicas = await self.state.present(self._replica, self._lease_s)
        for stream, held in list(self._held.items()):
            await self._keep(stream, held)
        records = await self.state.records()
        share = -(-len(records) // len(replicas))
        for record in records:
            if record.id not in self._held and len(self._held) < share:
                await self._take(record)
        if len(self._held) > share and len(replicas) > 1:  # one a turn, so that a new replica is not swamped
            await self._stop(max(self._held), hand_over=True)

    async def _keep(self, stream: str, held: _Held) -> None:
        """Renew the lease, say where the stream stands, and end it where nobody reads it any more."""
        keeping = await self.state.keep(held.record, held.watcher.token, self._lease_s)
        if keeping != "kept":
            log.info("stream %s is %s", stream, "held elsewhere" if keeping == "lost" else keeping)
            await self._stop(stream)
            return
        if held.task.done():  # fenced off for a moment, or a bug, which the log tells of
            await self._stop(stream, hand_over=True)
            return
        with contextlib.suppress(Fenced):
            await held.watcher.report()
        ttl_s = held.watcher.subscription.ttl_s
        if ttl_s is not None and await self.state.unread_s(stream) > ttl_s:
            log.info("stream %s: nobody has read it for %g s", stream, ttl_s)
            await self.unsubscribe(stream)

    async def _take(self, record: Record) -> None:
        if not is_ours(record):
            return
        subscription = Subscription.of(record)
        if subscription.model not in {offer.name for offer in self._parts.pipeline.catalogue}:
            return  # only others have loaded it: theirs to take
        token = f"{self._replica}:{ULID()}"
        if not await self.state.take(record.id, token, self._lease_s):
            return
        report = await self.state.status(record.id)
        epoch = 0 if report is None else self._parts.wording.epoch_of(report)
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
                await held.watcher.hand_over()
                await self.state.give_up(stream, held.watcher.token)
