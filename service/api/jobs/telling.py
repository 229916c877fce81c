"""What a job's receiver is told: the job as `GET` would show it. Knows no socket."""

from fovea.words import WebhookEvent
from service.api.jobs.answers import job_text, payload
from service.jobs.desk import Known
from service.jobs.job import Job, Standing
from service.tracing.traceparent import current
from service.webhooks.message import Message
from service.webhooks.outbox import Outbox


class Telling:
    """Does nothing where there is no outbox, or where the receiver does not want to know."""

    def __init__(self, outbox: Outbox | None) -> None:
        self._outbox = outbox

    async def tell(self, job: Job, standing: Standing, event: WebhookEvent) -> None:
        """A result that is too large for the ledger is left out: `GET /v1/jobs/{id}` has it. Raises Unavailable."""
        if self._outbox is None or job.webhook is None or event not in job.webhook.events:
            return
        told_s = standing.finished_s if standing.state.is_final else standing.started_s
        at_s = job.created_s if told_s is None else told_s
        body = payload("job", event, at_s, job_text(Known(job, standing), standing.result))
        trace = current() or job.traceparent
        await self._outbox.post(Message(message_id(job.id, event), job.webhook.url, body, at_s, traceparent=trace))


def message_id(job_id: str, event: WebhookEvent) -> str:
    """One of each event of a job."""
    return f"{job_id}.{event}"
