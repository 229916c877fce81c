"""Messages on their way: kept in the ledger until they are delivered or given up, tried again with back-off.

Knows no job and no camera: an attempt is the sender's.
"""

import asyncio
import contextlib
import logging
import random
import time

from fovea.errors import Unavailable
from fovea.words import DeliveryState
from service.jobs.hold import Hold, Lost
from service.jobs.queue import Queue, TryLater
from service.ledger.base import Book, Note
from service.metrics import Metrics
from service.sweeping import Sweeping
from service.webhooks.message import Message, OtherVersion, Sent, message_of, message_record, sent_of, sent_text
from service.webhooks.sender import Attempt, Sender

log = logging.getLogger(__name__)

MAX_MESSAGES = 20_000
LONGEST_WAIT_S = 3600.0
SWEEP_S = 60.0
HELD_S = 2.0


class Outbox:
    """`attempts` in all; `backoff_s` after the first, twice as long after each further one, an hour at most."""

    def __init__(
        self,
        book: Book,
        queue: Queue,
        sender: Sender,
        metrics: Metrics,
        *,
        attempts: int,
        backoff_s: float,
        timeout_s: float,
        retention_s: float,
    ) -> None:
        self._book = book
        self._queue = queue
        self._sender = sender
        self._metrics = metrics
        self._attempts = attempts
        self._lease_s = timeout_s + 10.0
        self._retention_s = retention_s
        self._backoff_s = backoff_s
        self._tasks: list[asyncio.Task[None]] = []
        self._is_full = False  # as the log knows
        self._sweeping = Sweeping("messages", self._sweep)

    def start(self) -> None:
        self._queue.start(self.work)
        self._tasks = [asyncio.create_task(self._sweeping.run(SWEEP_S))]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._queue.close()

    async def post(self, message: Message) -> None:
        """It is sent, whatever becomes of this process; once, however often it is posted. Raises Unavailable."""
        match await self._book.add(message_record(message), MAX_MESSAGES):
            case "added" | "there":
                self._is_full = False
                try:
                    await self._queue.put(message.id)
                except Unavailable:  # it is in the ledger: as soon as the queue is back it is put in
                    self._sweeping.nudge()
            case "full":
                self._metrics.webhook_deliveries_total.labels(outcome="dead").inc()
                if not self._is_full:
                    log.error("messages are dropped: %d are kept already, the most there may be", MAX_MESSAGES)
                self._is_full = True

    async def sent(self, message_id: str) -> tuple[Message, Sent] | None:
        """A message and what became of it; None where there is none. Raises Unavailable."""
        record = await self._book.record(message_id)
        if record is None:
            return None
        with contextlib.suppress(OtherVersion):
            return message_of(record), sent_of(await self._book.report(message_id))
        return None

    async def forget(self, message_id: str) -> None:
        await self._book.remove(message_id)

    async def work(self, message_id: str) -> None:
        """What the queue asks for. Raises TryLater."""
        try:
            await self._try(message_id)
        except Lost:
            pass
        except Unavailable as error:
            raise TryLater(error.detail, delay_s=HELD_S) from None

    async def _try(self, message_id: str) -> None:
        record = await self._book.record(message_id)
        if record is None or sent_of(await self._book.report(message_id)).state is not DeliveryState.PENDING:
            return
        hold = await Hold.take(self._book, record, self._lease_s)
        if hold is None:
            raise TryLater("another sends it", delay_s=HELD_S)
        before = sent_of(await self._book.report(message_id))
        wait_s = (before.next_s or 0.0) - time.time()
        if wait_s > 0:  # the process that waited is gone
            await hold.give_up()
            raise TryLater("it is not time yet", delay_s=wait_s)
        message = message_of(record)
        sent = self._after(before, await self._sender.send(message))
        await hold.tell(Note("attempt", sent.error or ""), sent_text(sent), patience_s=self._lease_s)
        if message.kept or sent.state is DeliveryState.PENDING:
            await hold.give_up()
        else:
            await self._book.remove(message_id)
        outcome = {DeliveryState.PENDING: "failed"}.get(sent.state, str(sent.state))
        self._metrics.webhook_deliveries_total.labels(outcome=outcome).inc()
        if sent.state is DeliveryState.DEAD:
            log.warning("message %s is given up after %d attempts: %s", message_id, sent.attempts, sent.error)
        if sent.next_s is not None:
            raise TryLater(sent.error or "", delay_s=max(0.0, sent.next_s - time.time()))

    def _after(self, before: Sent, attempt: Attempt) -> Sent:
        attempts = before.attempts + 1
        if attempt.error is None:
            return Sent(DeliveryState.DELIVERED, attempts, attempt.status)
        if attempt.final or attempts >= self._attempts:
            return Sent(DeliveryState.DEAD, attempts, attempt.status, attempt.error)
        wait_s = max(self._wait_s(attempts), attempt.retry_after_s or 0.0)
        return Sent(DeliveryState.PENDING, attempts, attempt.status, attempt.error, time.time() + wait_s)

    def _wait_s(self, attempts: int) -> float:
        wait_s = min(self._backoff_s * 2.0 ** (attempts - 1), LONGEST_WAIT_S)
        return wait_s * random.uniform(1, 1.25)  # receivers that came back are not told of everything at one moment

    async def _sweep(self) -> None:
        kept = await self._book.records()
        reports = await self._book.reports([record.id for record in kept])
        for record in kept:
            with contextlib.suppress(OtherVersion):
                if time.time() - message_of(record).created_s > self._retention_s:
                    await self._book.remove(record.id)
                elif sent_of(reports.get(record.id)).state is DeliveryState.PENDING:
                    await self._queue.put(record.id)
