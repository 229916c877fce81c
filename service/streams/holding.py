"""One stream that this replica holds: its lease, by our own clock, and the watcher that works under it.

A holder that cannot renew lets go when its lease is over: by then another replica may have opened the camera. What it
knows it keeps, to put it back where the ledger has forgotten it, and to go on where nobody has taken over.
"""

import asyncio
import contextlib
import logging
import time

from fovea.errors import Unavailable
from service.ledger.base import Keeping, Record
from service.streams.snapshot import Snapshot, snapshot
from service.streams.subscription import Subscription
from service.streams.watcher import Parts, Watcher
from video.camera.live import Picture

SHOWN_S = 60.0  # that a picture can be had after the last one

log = logging.getLogger(__name__)


class Holding:
    """Just taken: the lease is over `lease_s` after `asked_s` (monotonic), when it was asked for."""

    def __init__(
        self, record: Record, subscription: Subscription, token: str, parts: Parts, *, lease_s: float, asked_s: float
    ) -> None:
        self.subscription = subscription
        self._record = record
        self._token = token
        self._parts = parts
        self._lease_s = lease_s
        self._until_s = asked_s + lease_s
        self._watcher: Watcher | None = None  # the one that works, or worked last
        self._shown: Picture | None = None  # the one that others can see
        self._task: asyncio.Task[None] | None = None  # None: nothing is watched until the lease is renewed
        self._is_stopping = False
        self._has_ended = False

    @property
    def is_ours(self) -> bool:
        """By our own clock: another replica may have taken it since."""
        return time.monotonic() < self._until_s

    @property
    def is_broken(self) -> bool:
        """Its watcher ended by itself: fenced off for a moment, or a bug, which the log tells of."""
        return self._task is not None and self._task.done() and not self._is_stopping

    def watch(self, epoch: int) -> None:
        """Begin, or go on, where the last watcher stopped."""
        last_id = None
        if self._watcher is not None:
            last = self._watcher.journal
            epoch, last_id = max(epoch, last.status.epoch), last.last_id
        self._watcher = Watcher(self.subscription, self._token, self._parts, epoch=epoch, last_id=last_id)
        self._task = asyncio.create_task(self._run(self._watcher))

    async def keep(self) -> Keeping:
        """Renew the lease, and tell where the stream stands. Raises Unavailable."""
        asked_s = time.monotonic()
        report = None if self._watcher is None else self._watcher.journal.report()
        keeping = await self._parts.book.keep(self._record, self._token, self._lease_s, report)
        if keeping == "kept":
            self._until_s = asked_s + self._lease_s
            if self._task is None and not self._has_ended:
                log.info("stream %s: its lease is renewed; going on", self.subscription.id)
                self.watch(0)
        return keeping

    def snapshot(self) -> Snapshot | None:
        """The latest picture; None where there was none yet."""
        picture = None if self._watcher is None else self._watcher.picture
        return None if picture is None else snapshot(picture)

    async def show(self) -> None:
        """Let other replicas have the latest picture. Raises Fenced, Unavailable."""
        picture = None if self._watcher is None else self._watcher.picture
        if picture is not None and picture is not self._shown:
            blob = snapshot(picture).packed()
            await self._parts.book.put_blob(self.subscription.id, self._token, blob, SHOWN_S)
            self._shown = picture

    async def let_go_when_over(self) -> None:
        """Stop watching where the lease is over by our own clock."""
        if self._task is not None and not self.is_ours:
            log.warning("stream %s: its lease could not be renewed and is over; letting go", self.subscription.id)
            await self._stop()

    async def end(self, *, hand_over: bool = False) -> None:
        """For good. `hand_over`: say so, and let others take it at once."""
        self._has_ended = True
        await self._stop()
        if hand_over and self._watcher is not None and self.is_ours:
            with contextlib.suppress(Unavailable):
                await self._watcher.journal.hand_over()
                await self._parts.book.give_up(self.subscription.id, self._token)

    async def _stop(self) -> None:
        if self._task is None:
            return
        self._is_stopping = True  # nobody else begins before this one has ended
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task, self._is_stopping = None, False

    async def _run(self, watcher: Watcher) -> None:
        try:
            await watcher.run()
        except Exception:  # the task's edge: one camera's bug is not the others'
            log.exception("watching stream %s failed", self.subscription.id)
