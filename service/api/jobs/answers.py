"""Turns jobs into the API's JSON. Results are kept as JSON: they go out as they were written, unread."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from fovea.job_answers import Delivery, JobAnswer
from fovea.words import WebhookEvent
from service.jobs.desk import Known
from service.webhooks.message import Message, Sent


def job_answer(known: Known, deliveries: Sequence[Delivery] = ()) -> JobAnswer:
    """All but result and problem."""
    job, standing = known.job, known.standing
    return JobAnswer(
        id=job.id,
        kind=job.kind,
        state=standing.state,
        progress=round(standing.progress, 4),
        attempts=standing.attempts,
        created_at=when(job.created_s),
        started_at=None if standing.started_s is None else when(standing.started_s),
        finished_at=None if standing.finished_s is None else when(standing.finished_s),
        deliveries=list(deliveries),
    )


def job_text(known: Known, result: str | None, deliveries: Sequence[Delivery] = ()) -> str:
    """The whole job as JSON; `result` is its answer's JSON."""
    said = job_answer(known, deliveries).model_dump_json(exclude={"result", "problem"})
    return f'{said[:-1]},"result":{result or "null"},"problem":{known.standing.problem or "null"}}}'


def delivery_answer(event: WebhookEvent, message: Message, sent: Sent) -> Delivery:
    return Delivery(
        id=message.id,
        event=event,
        state=sent.state,
        attempts=sent.attempts,
        status=sent.status,
        error=sent.error,
        next_at=None if sent.next_s is None else when(sent.next_s),
    )


def when(wall_s: float) -> datetime:
    return datetime.fromtimestamp(round(wall_s, 3), UTC)


def payload(kind: str, event: WebhookEvent, created_s: float, data: str) -> str:
    """A message as Standard Webhooks has it; `data` is JSON."""
    head = json.dumps({"type": f"{kind}.{event}", "timestamp": when(created_s).isoformat().replace("+00:00", "Z")})
    return f'{head[:-1]}, "data": {data}}}'
