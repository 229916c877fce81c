"""One camera's life on this replica: ingest, look and journal together. Knows no lease and no HTTP.

Two tasks: one listens to the camera's process and never waits for the engine; the other looks at the latest window.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from fovea.words import StreamState
from service.engine.pipeline import Pipeline
from service.keys.spending import Accounts
from service.ledger.base import Book, Fenced
from service.metrics import Metrics
from service.streams.ingest import Ingest, Terms
from service.streams.journal import Journal
from service.streams.look import Look
from service.streams.pool import Pool
from service.streams.sharing import Process
from service.streams.status import Result, Status
from service.streams.subscription import Subscription
from video.camera.live import Picture

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a watcher works with."""

    pipeline: Pipeline
    book: Book
    pool: Pool
    metrics: Metrics
    terms: Terms
    start_process: Callable[[], Awaitable[Process]]
    camera_metrics: bool = False
    announce: Callable[[Subscription, str, Status | Result], Awaitable[None]] | None = None  # to those beside followers
    accounts: Accounts | None = None  # where owners' spending is charged


class Watcher:
    """Runs until it is cancelled, or fenced off because another replica holds the stream."""

    def __init__(
        self, subscription: Subscription, token: str, parts: Parts, *, epoch: int = 0, last_id: str | None = None
    ) -> None:
        """`epoch` and `last_id`: those to go on from."""
        self.subscription = subscription
        status = Status(StreamState.CONNECTING, time.time(), None, epoch, "all", None)
        name = (subscription.name or "") if parts.camera_metrics else None
        self.journal = Journal(
            subscription.id,
            token,
            parts.book,
            parts.metrics,
            status,
            last_id=last_id,
            name=name,
            announce=None if parts.announce is None else partial(parts.announce, subscription),
        )
        self._look = Look(
            subscription,
            pipeline=parts.pipeline,
            pool=parts.pool,
            journal=self.journal,
            metrics=parts.metrics,
            accounts=parts.accounts,
        )
        self._ingest = Ingest(
            subscription,
            parts.pipeline.offer(subscription.model).clip_rule,
            parts.terms,
            start_process=parts.start_process,
            journal=self.journal,
            metrics=parts.metrics,
            offer=self._look.offer,
        )

    @property
    def picture(self) -> Picture | None:
        """The middle one of the latest window."""
        return self._look.picture

    async def run(self) -> None:
        with self.journal.counted():
            try:
                await self.journal.tell_state()
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._ingest.run())
                    tasks.create_task(self._look.run(self._ingest.attend))
            except* Fenced:
                log.info("stream %s is held elsewhere now", self.subscription.id)
