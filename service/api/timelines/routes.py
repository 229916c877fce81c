"""POST /v1/timelines: a long video in, when what happens out, at once or segment by segment. Knows HTTP alone.

Everything that can be refused is refused before the video is read: options, budget, room.
"""

from collections.abc import AsyncGenerator
from contextlib import ExitStack
from typing import Any

from fastapi import APIRouter, Request, Response

from fovea.timeline_answers import TimelineAnswer
from service.api.body.described import parameters, video_body
from service.api.body.spool import spooled
from service.api.body.uploads import open_upload
from service.api.edge import sse
from service.api.edge.idempotency import KEY_PARAMETER, fingerprint_of, once, refuse_key
from service.api.edge.negotiation import preferred
from service.api.edge.parts import (
    client_of,
    key_of,
    metrics_of,
    pipeline_of,
    request_id_of,
    settings_of,
    timelines_of,
    tracing_of,
)
from service.api.edge.problems import refusals
from service.api.jobs.accepting import ACCEPTED, JOB_PARAMETERS, accepted, wants_job
from service.api.jobs.bodies import TIMELINE
from service.api.operation.accounting import Account
from service.api.recognitions.options import Ceilings
from service.api.recognitions.spooling import save_unless_client_leaves, unless_client_leaves
from service.api.timelines.events import events, story_of
from service.api.timelines.options import OPTIONS, parse_timeline_options
from service.api.timelines.telling import Told, last, tell

JSON = "application/json"

router = APIRouter(tags=["timelines"])

_OPENAPI: dict[str, Any] = {
    "parameters": parameters(OPTIONS) + JOB_PARAMETERS + [KEY_PARAMETER],
    "requestBody": video_body(),
}
_EVENTS_EXAMPLE = (
    'id: 0\nevent: segment\ndata: {"start_s":0.0,"end_s":12.5,"label":null,"predictions":[],…}\n\n'
    'event: progress\ndata: {"done_s":14.0,"duration_s":1200.0,"spent_gflops":9.1,"segments":1}\n\n'
    'id: 1\nevent: segment\ndata: {"start_s":12.5,"end_s":15.0,"label":"tennis_serve",…}\n\n'
    'id: 2\nevent: result\ndata: {"id":"tml_01J…","segments":[…],…}\n\n'
)


@router.post(
    "/v1/timelines",
    response_model=TimelineAnswer,
    summary="Tell when what happens in a long video",
    openapi_extra=_OPENAPI,
    responses={
        200: {
            "description": "The timeline; as text/event-stream a `segment` for each as it is found, `progress` now and "
            "then, last `result` or `problem`.",
            "content": {sse.MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EVENTS_EXAMPLE}},
        },
        **ACCEPTED,
        **refusals(
            s400="The body is malformed or incomplete.",
            s406="Neither application/json nor text/event-stream is acceptable.",
            s408="The body took too long.",
            s409="The first request with this Idempotency-Key is not answered yet.",
            s413="The body is too large.",
            s415="The body is of another type.",
            s422="An option, the budget or the video cannot be.",
            s429="No room now.",
            s500="The service failed.",
            s503="Loading, shutting down, or out of time before anything was looked at.",
        ),
    },
)
async def timeline(request: Request) -> Response:
    """Post a video as for a recognition. Windows slide over it, and neighbours of one label are one segment.

    With `Accept: text/event-stream` segments arrive as they are found. With `Prefer: respond-async` the answer is a
    job, to be asked for later. A client that leaves ends the work, but not a job's.
    """
    settings, request_id = settings_of(request), request_id_of(request)
    ceilings = Ceilings(top_k=settings.max_top_k, deadline_ms=settings.max_deadline_ms)
    if wants_job(request):
        maker = timelines_of(request)
        return await accepted(
            request,
            TIMELINE,
            lambda given: maker.settle(parse_timeline_options(given, ceilings)),
            max_bytes=settings.max_timeline_bytes,
            timeout_s=settings.timeline_upload_timeout_s,
        )
    with ExitStack() as held:
        key = key_of(request)
        payer = "" if key is None else key.name
        new_account = Account(
            metrics_of(request), tracing_of(request), request_id, client_of(request), payer or None, "timeline"
        )
        account = held.enter_context(new_account)
        media_type = preferred(request.headers.get("accept"), (JSON, sse.MEDIA_TYPE))
        if media_type == sse.MEDIA_TYPE:
            refuse_key(request)
        timelines, pipeline = timelines_of(request), pipeline_of(request)
        query = request.query_params.multi_items()
        parse_timeline_options(query, ceilings)  # before a byte of the body is read
        upload = open_upload(
            request,
            max_bytes=settings.max_timeline_bytes,
            timeout_s=settings.timeline_upload_timeout_s,
            min_bytes_per_s=settings.min_upload_bytes_per_s,
        )
        given = [*query, *await upload.fields()]
        plan = timelines.settle(parse_timeline_options(given, ceilings))
        account.model = plan.look.model
        held.enter_context(timelines.admitted())
        path = held.enter_context(spooled(settings.spool_dir))
        upload_s = await save_unless_client_leaves(request, upload, path)
        later = await upload.later_fields()
        if later:
            plan = timelines.settle(parse_timeline_options([*given, *later], ceilings))
            account.model = plan.look.model
        offer = pipeline.offer(plan.look.model)
        if media_type == sse.MEDIA_TYPE:
            told = tell(timelines, path, plan, offer, upload_s, key=payer)
            first = await unless_client_leaves(request, _first(told))  # what goes wrong by then has its own status
            return sse.EventStream(events(told, first, account, request_id), held.pop_all(), ping_s=settings.sse_ping_s)
        async with once(request, await fingerprint_of(request, [*given, *later], path)) as turn:
            if turn.kept is not None:
                account.replayed()
                return turn.kept
            answer = await unless_client_leaves(request, last(timelines, path, plan, offer, upload_s, key=payer))
            account.told(story_of(answer))
            return await turn.keep(Response(answer.model_dump_json(), media_type=JSON))


async def _first(told: AsyncGenerator[Told, None]) -> Told:
    try:
        return await anext(told)
    except BaseException:
        await told.aclose()
        raise
