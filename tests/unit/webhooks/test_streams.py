"""What a stream's receiver is told, through a real receiver."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sized
from dataclasses import replace
from ipaddress import ip_network

import pytest

from fovea.words import StreamState, WebhookEvent
from service.api.streams.telling import tell
from service.jobs.local_queue import LocalQueue
from service.ledger.memory import MemoryLedger
from service.metrics import Metrics
from service.streams import records
from service.webhooks.outbox import Outbox
from service.webhooks.sender import Sender
from service.webhooks.target import TargetPolicy
from service.webhooks.wanted import Webhook
from tests.receiver import Receiver, Reply, receiving
from tests.unit.streams.making import a_result, a_status, a_subscription

SECRET = "whsec_" + "c2VjcmV0" * 4
LOOPBACK = [ip_network("127.0.0.0/8")]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving(lambda number: Reply(500 if number == 0 else 204)) as receiver:
        yield receiver


@pytest.fixture
async def outbox() -> AsyncIterator[Outbox]:
    made = Outbox(
        MemoryLedger().book("webhook", events_kept=3),
        LocalQueue(concurrency=2),
        Sender(TargetPolicy(LOOPBACK, http=True), SECRET, timeout_s=10.0),
        Metrics(),
        attempts=3,
        backoff_s=0.05,
        timeout_s=10.0,
        retention_s=60.0,
    )
    made.start()
    yield made
    await made.close()


async def until(found: Sized, number: int) -> None:
    async with asyncio.timeout(20):
        while len(found) < number:  # noqa: ASYNC110 - another thread fills it
            await asyncio.sleep(0.02)


async def test_a_receiver_hears_what_it_asked_for_and_what_is_delivered_is_forgotten(
    outbox: Outbox, receiver: Receiver
) -> None:
    wanted = Webhook(receiver.url, (WebhookEvent.RESULT, WebhookEvent.DONE))
    subscription = replace(a_subscription(), webhook=wanted)
    await tell(outbox, subscription, "1-0", a_status(StreamState.LIVE))
    await tell(outbox, subscription, "2-0", a_result())
    await until(receiver.received, 2)  # the first one failed, and came again
    await tell(outbox, subscription, "end", a_status(StreamState.DELETED))
    await until(receiver.received, 3)
    said = [one.verified(SECRET) for one in receiver.received]
    assert [one["type"] for one in said] == ["stream.result", "stream.result", "stream.done"]
    assert said[1]["data"]["stream"] == subscription.id
    assert said[2]["data"]["state"] == "deleted"
    assert [one.headers["webhook-id"] for one in receiver.received] == [
        f"{subscription.id}.2-0",
        f"{subscription.id}.2-0",
        f"{subscription.id}.end",
    ]
    async with asyncio.timeout(20):
        while await outbox.sent(f"{subscription.id}.2-0") is not None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.02)


def test_a_receiver_is_kept_with_its_subscription() -> None:
    wanted = Webhook("https://receiver.example/hook?token=secret", (WebhookEvent.STATE,))
    subscription = replace(a_subscription(), webhook=wanted)
    assert records.subscription_of(records.subscription_record(subscription)) == subscription
    assert "secret" not in repr(subscription)
