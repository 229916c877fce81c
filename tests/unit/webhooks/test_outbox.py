"""Messages on their way, while what carries them is away."""

import asyncio

from fovea.errors import Unavailable
from service.jobs.local_queue import LocalQueue
from service.ledger.memory import MemoryLedger
from service.metrics import Metrics
from service.webhooks.message import Message
from service.webhooks.outbox import Outbox
from service.webhooks.sender import Sender
from service.webhooks.target import TargetPolicy

SECRET = "whsec_" + "c2VjcmV0" * 4


class AwayOnce(LocalQueue):
    """Its first item finds it away."""

    puts = 0

    async def put(self, item: str, *, delay_s: float = 0.0) -> None:
        self.puts += 1
        if self.puts == 1:
            raise Unavailable("the queue cannot be reached")
        await super().put(item, delay_s=delay_s)


async def test_a_message_is_kept_and_sent_though_the_queue_was_away_when_it_was_posted() -> None:
    """What is told of a job must not make the job begin again."""
    metrics = Metrics()
    outbox = Outbox(
        MemoryLedger().book("webhook", events_kept=3),
        AwayOnce(concurrency=1),
        Sender(TargetPolicy(), SECRET, timeout_s=5.0),
        metrics,
        attempts=3,
        backoff_s=0.05,
        timeout_s=5.0,
        retention_s=60.0,
    )
    outbox.start()
    await asyncio.sleep(0.05)  # the sweep at the start is over
    await outbox.post(Message("m1", "https://127.0.0.1/hook", "{}", 2e9))
    async with asyncio.timeout(20):
        while not metrics.registry.get_sample_value("fovea_webhook_deliveries_total", {"outcome": "dead"}):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    await outbox.close()
