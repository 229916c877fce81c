"""`Prefer: respond-async`: a request that becomes a job. Knows how a request is read, not what the job does."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any

from fastapi import Request, Response

from fovea.errors import Draining, InvalidOption
from fovea.job_answers import JobAnswer
from fovea.words import WebhookEvent
from service.api.body.uploads import open_upload
from service.api.edge.idempotency import HEADER, fingerprint_of, once
from service.api.edge.parts import (
    desk_of,
    key_of,
    no_store_of,
    outbox_of,
    pipeline_of,
    settings_of,
    targets_of,
    tracing_of,
)
from service.api.jobs.answers import job_text
from service.api.recognitions.spooling import spool_all
from service.engine.lanes import ANYBODY
from service.jobs.job import Job, upload_blob
from service.tracing.traceparent import current
from service.webhooks.wanted import Webhook

JSON = "application/json"
RESPOND_ASYNC = "respond-async"
WEBHOOK_URL, WEBHOOK_EVENTS = "webhook_url", "webhook_events"

Pairs = list[tuple[str, str]]

JOB_PARAMETERS: list[dict[str, Any]] = [
    {
        "name": "Prefer",
        "in": "header",
        "schema": {"type": "string"},
        "description": f"`{RESPOND_ASYNC}`: the answer is 202 and a job; the options below are for jobs alone.",
    },
    {
        "name": WEBHOOK_URL,
        "in": "query",
        "schema": {"type": "string"},
        "description": "Where to post signed messages about the job (Standard Webhooks).",
    },
    {
        "name": WEBHOOK_EVENTS,
        "in": "query",
        "schema": {"type": "string"},
        "description": f"Which messages: some of {', '.join(WebhookEvent)}, separated by commas; absent: done.",
    },
]
ACCEPTED: dict[int | str, dict[str, Any]] = {
    202: {
        "description": f"With `Prefer: {RESPOND_ASYNC}`: the job.",
        "model": JobAnswer,
        "headers": {"Location": {"description": "Where the job is.", "schema": {"type": "string"}}},
    }
}
"""OpenAPI's, of every route that takes jobs."""


def wants_job(request: Request) -> bool:
    """RFC 7240. Other preferences are left to those who know them."""
    wanted = ",".join(request.headers.getlist("Prefer")).split(",")
    return any(one.partition(";")[0].strip().lower() == RESPOND_ASYNC for one in wanted)


async def accepted(
    request: Request,
    kind: str,
    check: Callable[[Iterable[tuple[str, str]]], object],
    *,
    max_bytes: int,
    timeout_s: float,
) -> Response:
    """202 with the job, once its upload lies in the blob store. `check` raises for options that cannot be."""
    settings, desk = settings_of(request), desk_of(request)
    if pipeline_of(request).admission.draining:
        raise Draining.refused()
    key = key_of(request)
    if HEADER not in request.headers:  # else it may be a job that is there already
        desk.check_share("" if key is None else key.name)
    query = request.query_params.multi_items()
    check(_ours_apart(query)[0])  # before a byte of the body is read
    upload = open_upload(
        request,
        max_bytes=max_bytes,
        timeout_s=timeout_s,
        min_bytes_per_s=settings.min_upload_bytes_per_s,
    )
    given = [*query, *await upload.fields()]
    check(_ours_apart(given)[0])
    owner = ANYBODY if key is None else key.owner
    with ExitStack() as spool:
        spool.enter_context(pipeline_of(request).admission.place(owner))  # its upload lies on the disk
        (video,), later = await spool_all(request, upload, spool, settings.spool_dir, 1)
        given += later
        options, ours = _ours_apart(given)
        check(options)
        webhook = await webhook_of(request, ours)
        asked = await fingerprint_of(request, given, video.path)
        async with once(request, f"{RESPOND_ASYNC} {asked}") as answer:
            if answer.kept is not None:
                return answer.kept
            job_id = f"job_{answer.turn.ulid}"
            job = Job(
                id=job_id,
                kind=kind,
                options=tuple(dict(options).items()),
                blob=upload_blob(job_id),
                upload_s=video.upload_s,
                created_s=answer.turn.created_s,
                webhook=webhook,
                owner="" if key is None else key.name,
                no_store=no_store_of(request),
                traceparent=current(),
            )
            tracing_of(request).tell(job=job.id)
            await desk.blobs.put(job.blob, video.path)
            known = await desk.submit(job)
            headers = {"Location": f"/v1/jobs/{job.id}", "Preference-Applied": RESPOND_ASYNC}
            return await answer.keep(Response(job_text(known, None), 202, headers, JSON))


async def webhook_of(request: Request, ours: dict[str, str]) -> Webhook | None:
    """Checked: signed messages can be sent there. Raises InvalidOption."""
    url = ours.get(WEBHOOK_URL)
    if url is None:
        if WEBHOOK_EVENTS in ours:
            raise InvalidOption(
                f"{WEBHOOK_EVENTS} is of no use without {WEBHOOK_URL}; give both", option=WEBHOOK_EVENTS
            )
        return None
    await check_receiver(request, url)
    return Webhook(url, webhook_events(ours.get(WEBHOOK_EVENTS, WebhookEvent.DONE)))


async def check_receiver(request: Request, url: str) -> None:
    """Whether signed messages can be sent there. Raises InvalidOption."""
    if outbox_of(request) is None:
        raise InvalidOption(
            f"{WEBHOOK_URL}: this service tells nobody, since it has no secret to sign messages with; set "
            "FOVEA_WEBHOOK_SECRET, or leave it out and ask",
            option=WEBHOOK_URL,
        )
    await targets_of(request).check(url)


def webhook_events(text: str) -> tuple[WebhookEvent, ...]:
    """Raises InvalidOption."""
    try:
        return tuple(dict.fromkeys(WebhookEvent(one.strip()) for one in text.split(",")))
    except ValueError:
        known = ", ".join(WebhookEvent)
        raise InvalidOption(
            f"{WEBHOOK_EVENTS}={text[:64]!r}: must be some of {known}, separated by commas", option=WEBHOOK_EVENTS
        ) from None


def _ours_apart(given: Pairs) -> tuple[Pairs, dict[str, str]]:
    """The kind's own options, and those of every job. Raises InvalidOption where one of ours has two values."""
    ours: dict[str, str] = {}
    for name, text in given:
        if name in {WEBHOOK_URL, WEBHOOK_EVENTS} and ours.setdefault(name, text) != text:
            raise InvalidOption(f"option {name!r} is given more than once; give it once", option=name)
    return [(name, text) for name, text in given if name not in ours], ours
