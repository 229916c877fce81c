"""What works while nobody waits: jobs, messages to receivers, videos that are fetched."""

import contextlib
import json
from collections.abc import AsyncIterator
from functools import partial

from service.addresses.policy import AddressPolicy
from service.api.body.spool import spooled
from service.api.edge import problems
from service.api.jobs.bodies import bodies
from service.api.jobs.telling import Telling
from service.blobs.store import Blobs
from service.engine.pipeline import Pipeline
from service.fetch.fetcher import Fetcher
from service.fetch.web import FetchLimits
from service.jobs.desk import Desk, DeskParts
from service.jobs.local_queue import LocalQueue
from service.jobs.queue import Queue
from service.jobs.runner import Runner, RunnerParts
from service.keys.spending import Accounts
from service.ledger.base import Ledger
from service.metrics import Metrics
from service.settings import Settings
from service.timelines.timelines import Timelines
from service.tracing.tracing import Tracing
from service.webhooks.outbox import Outbox
from service.webhooks.sender import Sender
from service.webhooks.target import TargetPolicy

JOB_EVENTS_KEPT = 1000  # a recognition has about ten


def make_fetcher(settings: Settings) -> Fetcher:
    """Private networks have to be named, also where the service listens on loopback alone: a URL comes from anybody."""
    return Fetcher(
        policy=AddressPolicy(
            settings.url_allowed_networks, settings.url_ports, private=False, kind="videos", prefix="FOVEA_URL"
        ),
        limits=FetchLimits(
            max_bytes=settings.max_upload_bytes,
            timeout_s=settings.upload_timeout_s,
            silence_s=settings.url_silence_s,
            min_bytes_per_s=settings.min_upload_bytes_per_s,
        ),
        http=settings.url_http,
        buckets=settings.url_s3_buckets,
        ca_file=settings.url_ca_file,
    )


@contextlib.asynccontextmanager
async def open_outbox(
    settings: Settings, metrics: Metrics, ledger: Ledger, targets: TargetPolicy, tracing: Tracing
) -> AsyncIterator[Outbox | None]:
    """Messages to receivers; None where there is no secret to sign them with."""
    if settings.webhook_secret is None:
        yield None
        return
    timeout_s = settings.webhook_timeout_s
    outbox = Outbox(
        ledger.book("webhook", events_kept=settings.webhook_attempts),
        open_queue(settings, "webhooks", concurrency=settings.webhook_concurrency, lease_s=timeout_s + 10),
        Sender(targets, settings.webhook_secret.get_secret_value(), timeout_s=timeout_s, tracing=tracing),
        metrics,
        attempts=settings.webhook_attempts,
        backoff_s=settings.webhook_backoff_s,
        timeout_s=timeout_s,
        retention_s=settings.job_retention_s,
    )
    outbox.start()
    try:
        yield outbox
    finally:
        await outbox.close()


@contextlib.asynccontextmanager
async def open_jobs(
    settings: Settings,
    metrics: Metrics,
    pipeline: Pipeline,
    ledger: Ledger,
    timelines: Timelines,
    accounts: Accounts,
    outbox: Outbox | None,
    tracing: Tracing,
) -> AsyncIterator[Desk]:
    """Take jobs and do them; on the way out hand back what is not done."""
    url = settings.blobs_url
    blobs = Blobs.in_folder(settings.state_dir / "blobs") if url is None else Blobs(url)
    book, cancels = ledger.book("job", events_kept=JOB_EVENTS_KEPT), ledger.book("cancel", events_kept=1)
    runner = Runner(
        RunnerParts(
            book=book,
            cancels=cancels,
            blobs=blobs,
            bodies=bodies(pipeline, timelines, accounts, settings),
            problem=lambda error, job_id: json.dumps(problems.problem_of(error, job_id)),
            spooled=partial(spooled, settings.spool_dir),
            tell=Telling(outbox).tell,
            metrics=metrics,
            tracing=tracing,
        ),
        lease_s=settings.job_lease_s,
        max_attempts=settings.job_max_attempts,
    )
    queue = open_queue(settings, "jobs", concurrency=settings.job_concurrency, lease_s=settings.job_lease_s)
    desk = Desk(
        DeskParts(book=book, cancels=cancels, blobs=blobs, queue=queue, runner=runner, metrics=metrics),
        lease_s=settings.job_lease_s,
        max_jobs=settings.max_jobs,
        retention_s=settings.job_retention_s,
        drain_s=settings.drain_timeout_s,
        weight_of=accounts.weight_of,
    )
    desk.start()
    try:
        yield desk
    finally:
        await desk.close()


def open_queue(settings: Settings, name: str, *, concurrency: int, lease_s: float) -> Queue:
    """Between replicas in Redis, else in this process. Not started yet."""
    if settings.redis_url is None:
        return LocalQueue(concurrency=concurrency)
    from service.jobs.redis_queue import RedisQueue

    return RedisQueue(settings.redis_url.get_secret_value(), name, concurrency=concurrency, lease_s=lease_s)
