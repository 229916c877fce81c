"""`/v1/jobs`: ask for jobs, follow them, call them off. Knows HTTP, not how they are done."""

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from fovea.errors import InvalidOption
from fovea.job_answers import Delivery, JobAnswer, JobList
from fovea.words import JobState
from service.api.edge import sse
from service.api.edge.parts import desk_of, key_of, outbox_of, pipeline_of, settings_of
from service.api.edge.problems import refusals
from service.api.jobs.answers import delivery_answer, job_answer, job_text
from service.api.jobs.events import follow, start_after
from service.api.jobs.telling import message_id
from service.api.streams.events import Following
from service.jobs.desk import Known, unknown
from service.keys.key import Scope

JSON = "application/json"
PAGE, LARGEST_PAGE = 100, 1000

router = APIRouter(tags=["jobs"])

_LAST_ID: dict[str, Any] = {
    "parameters": [
        {
            "name": "Last-Event-ID",
            "in": "header",
            "schema": {"type": "string"},
            "description": "Everything after this event comes again; `last_event_id` in the query does the same.",
        }
    ]
}
_LIST: dict[str, Any] = {
    "parameters": [
        {"name": "state", "in": "query", "schema": {"type": "string", "enum": list(JobState)}},
        {
            "name": "limit",
            "in": "query",
            "schema": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE, "default": PAGE},
        },
        {
            "name": "before",
            "in": "query",
            "schema": {"type": "string"},
            "description": "`next_before` of the last page.",
        },
    ]
}
_EVENTS_EXAMPLE = (
    'id: 1764036000123-0\nevent: state\ndata: {"state":"running","attempts":1}\n\n'
    'id: 1764036000204-0\nevent: step\ndata: {"step":0,"kind":"glance",…}\n\n'
    'id: 1764036000301-0\nevent: result\ndata: {"id":"rec_01J…",…}\n\n'
)
_JOB: dict[str, Any] = {"model": JobAnswer}


@router.get(
    "/v1/jobs",
    response_model=JobList,
    summary="The jobs, the latest first, without their results",
    openapi_extra=_LIST,
    responses=refusals(s422="A state, limit or page that cannot be.", s503="Loading, or the shared state is away."),
)
async def list_jobs(request: Request) -> JobList:
    desk, asked = desk_of(request), request.query_params
    if unknown := sorted(set(asked) - {"state", "limit", "before"}):
        raise InvalidOption(f"there is no option {unknown[0][:64]!r}; the options are: state, limit, before")
    limit, before = _limit(asked.get("limit")), asked.get("before")
    found = [one for one in await desk.jobs(_state(asked.get("state"))) if _may_see(request, one)]
    if before is not None:
        found = [one for one in found if one.job.id < before]
    page = found[:limit]
    more = page[-1].job.id if len(found) > limit else None
    return JobList(jobs=[job_answer(one) for one in page], next_before=more)


@router.get(
    "/v1/jobs/{job}",
    response_model=JobAnswer,
    summary="A job: where it stands, and its result",
    responses=refusals(s404="No such job.", s503="Loading, or the ledger or the blob store is away."),
)
async def show_job(request: Request, job: str) -> Response:
    return await _shown(request, await _job(request, job), 200)


@router.delete(
    "/v1/jobs/{job}",
    response_model=JobAnswer,
    summary="Cancel a job",
    responses={
        200: {"description": "It is cancelled."},
        202: {"description": "It is being worked on, and ends at its next step.", **_JOB},
        **refusals(s404="No such job.", s409="It has ended already.", s503="Loading, or the ledger is away."),
    },
)
async def cancel_job(request: Request, job: str) -> Response:
    await _job(request, job)
    known = await desk_of(request).cancel(job)
    return await _shown(request, known, 200 if known.standing.state is JobState.CANCELLED else 202)


@router.get(
    "/v1/jobs/{job}/events",
    response_class=Response,
    summary="Follow a job from its beginning to its end",
    openapi_extra=_LAST_ID,
    responses={
        200: {
            "description": "`state`, `step` and the like, then `result`, `problem` or `cancelled`.",
            "content": {sse.MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EVENTS_EXAMPLE}},
        },
        **refusals(
            s404="No such job.",
            s422="No event id.",
            s429="As many followers as there may be.",
            s503="Loading, or the shared state is away.",
        ),
    },
)
async def follow_job(request: Request, job: str) -> Response:
    """Whoever is interrupted comes back with `Last-Event-ID`, and misses nothing."""
    settings, desk, admission = settings_of(request), desk_of(request), pipeline_of(request).admission
    after = start_after(request.headers.get("last-event-id") or request.query_params.get("last_event_id"))
    await _job(request, job)
    following: Following = request.app.state.following
    held = following.join(most=settings.max_stream_followers)
    told = follow(desk, job, after, ends=lambda: admission.draining)
    return sse.EventStream(told, held, ping_s=settings.sse_ping_s)


async def _job(request: Request, job: str) -> Known:
    """Raises UnknownJob, also where it is another key's."""
    known = await desk_of(request).job(job)
    if not _may_see(request, known):
        raise unknown(job)
    return known


def _may_see(request: Request, known: Known) -> bool:
    key = key_of(request)
    return key is None or key.opens(Scope.ADMIN) or known.job.owner == key.name


async def _shown(request: Request, known: Known, status: int) -> Response:
    result, deliveries = await asyncio.gather(desk_of(request).result(known.standing), _deliveries(request, known))
    return Response(job_text(known, result, deliveries), status, media_type=JSON)


async def _deliveries(request: Request, known: Known) -> list[Delivery]:
    outbox, webhook = outbox_of(request), known.job.webhook
    if outbox is None or webhook is None:
        return []
    told = [(event, await outbox.sent(message_id(known.job.id, event))) for event in webhook.events]
    return [delivery_answer(event, *found) for event, found in told if found is not None]


def _state(text: str | None) -> JobState | None:
    if text is None:
        return None
    try:
        return JobState(text)
    except ValueError:
        raise InvalidOption(
            f"state={text[:64]!r}: must be one of {', '.join(JobState)}, or be left out", option="state"
        ) from None


def _limit(text: str | None) -> int:
    if text is None:
        return PAGE
    if not (text.isascii() and text.isdecimal() and len(text) < 5 and 1 <= int(text) <= LARGEST_PAGE):
        raise InvalidOption(f"limit={text[:64]!r}: must be a whole number from 1 to {LARGEST_PAGE}", option="limit")
    return int(text)
