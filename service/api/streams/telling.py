"""What a stream's receiver is told: its events, as its followers hear them. Knows no camera and no socket."""

import time

from fovea.words import StreamState, WebhookEvent
from service.api.jobs.answers import payload
from service.api.streams.answers import result_event, state_event
from service.streams.status import Result, Status
from service.streams.subscription import Subscription
from service.webhooks.message import Message
from service.webhooks.outbox import Outbox


async def tell(outbox: Outbox, subscription: Subscription, event_id: str, told: Status | Result) -> None:
    """Nothing, where the receiver does not want to know. Raises Unavailable."""
    stream, webhook = subscription.id, subscription.webhook
    event = _event(told)
    if webhook is None or event not in webhook.events:
        return
    said = state_event(stream, told) if isinstance(told, Status) else result_event(stream, told)
    now_s = time.time()
    body = payload("stream", event, now_s, said.model_dump_json())
    await outbox.post(Message(f"{stream}.{event_id}", webhook.url, body, now_s, kept=False))


def _event(told: Status | Result) -> WebhookEvent:
    if isinstance(told, Result):
        return WebhookEvent.RESULT
    return WebhookEvent.DONE if told.state is StreamState.DELETED else WebhookEvent.STATE
