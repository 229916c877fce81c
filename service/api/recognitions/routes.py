"""POST /v1/recognitions: a video in, a recognition out, at once or step by step. Knows HTTP, not how it is done.

Everything that can be refused is refused before the video is read: options, budget, room.
"""

from contextlib import ExitStack, aclosing
from functools import partial
from typing import Any

from fastapi import APIRouter, Request, Response

from fovea.answers import RecognitionAnswer, RecognitionList
from fovea.errors import InvalidOption
from service.api.body.described import parameters, video_body
from service.api.body.spool import drop
from service.api.body.uploads import open_upload
from service.api.edge import sse
from service.api.edge.idempotency import KEY_PARAMETER, fingerprint_of, once, refuse_key
from service.api.edge.negotiation import preferred
from service.api.edge.parts import (
    client_of,
    key_of,
    metrics_of,
    no_store_of,
    pipeline_of,
    request_id_of,
    settings_of,
    spending_of,
    tell_standings,
    tracing_of,
)
from service.api.edge.problems import refusals
from service.api.jobs.accepting import ACCEPTED, JOB_PARAMETERS, accepted, wants_job
from service.api.jobs.bodies import RECOGNITION
from service.api.operation.accounting import Account
from service.api.recognitions.answers import recognition_answer
from service.api.recognitions.events import events
from service.api.recognitions.options import OPTIONS, Ceilings, parse_options
from service.api.recognitions.several import is_settled, recognize_several
from service.api.recognitions.spooling import spool_all, unless_client_leaves
from service.engine.budget import RecognitionOptions
from service.engine.decoded import Decoded
from service.engine.pipeline import Pipeline
from service.engine.request import Plan, Recognition
from service.keys.key import Key

JSON = "application/json"
router = APIRouter(tags=["recognitions"])

NO_STORE_PARAMETER: dict[str, Any] = {
    "name": "Cache-Control",
    "in": "header",
    "schema": {"type": "string"},
    "description": "`no-store`: the answer is computed, though the same video was answered before, and is not held.",
}
_OPENAPI: dict[str, Any] = {
    "parameters": parameters(OPTIONS) + JOB_PARAMETERS + [KEY_PARAMETER, NO_STORE_PARAMETER],
    "requestBody": video_body(),
}

_EVENTS_EXAMPLE = (
    'id: 0\nevent: step\ndata: {"step":0,"kind":"glance","gflops":0.36,"entropy_nats":1.7,"spent_gflops":0.36,…}\n\n'
    'id: 0\nevent: result\ndata: {"id":"rec_01J…","model":"adafocus-v3-compact",…}\n\n'
)


@router.post(
    "/v1/recognitions",
    response_model=RecognitionAnswer | RecognitionList,
    summary="Recognise what happens in a video",
    openapi_extra=_OPENAPI,
    responses={
        200: {
            "description": "The recognition; as text/event-stream a `step` per step, then `result` or `problem`.",
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
            s503="Loading, shutting down, or out of time before there was an answer.",
        ),
    },
)
async def recognize(request: Request) -> Response:
    """Post a video as the form part `video`, or as the whole body; options in the query or as form fields.

    With `Accept: text/event-stream` each step arrives as it is taken. With `Prefer: respond-async` the answer is a job,
    to be asked for later. A form with several parts `video` is answered by
    a list, `recognitions`, in their order: each an answer, or the problem that there was with that video.
    The same video again, with the same key, is answered from what is held (`cached`), or goes on from there
    (`compute.resumed_from_step`).
    """
    settings, request_id = settings_of(request), request_id_of(request)
    ceilings = Ceilings(top_k=settings.max_top_k, deadline_ms=settings.max_deadline_ms)
    if wants_job(request):
        pipeline = pipeline_of(request)
        return await accepted(
            request,
            RECOGNITION,
            lambda given: pipeline.plan(_without_picture(parse_options(given, ceilings))),
            max_bytes=settings.max_upload_bytes,
            timeout_s=settings.upload_timeout_s,
        )
    with ExitStack() as held:
        key = key_of(request)
        new_account = partial(
            Account, metrics_of(request), tracing_of(request), request_id, client_of(request), _name_of(key)
        )
        account = held.enter_context(new_account())
        media_type = preferred(request.headers.get("accept"), (JSON, sse.MEDIA_TYPE))
        if media_type == sse.MEDIA_TYPE:
            refuse_key(request)
        pipeline = pipeline_of(request)
        spending = held.enter_context(spending_of(request))
        query = _early_options(request, ceilings)
        settle = partial(_settled, request, pipeline, ceilings)
        pipeline.admission.check_open(spending.owner)
        upload = open_upload(
            request,
            max_bytes=settings.max_upload_bytes,
            timeout_s=settings.upload_timeout_s,
            min_bytes_per_s=settings.min_upload_bytes_per_s,
        )
        given = [*query, *await upload.fields()]
        plan = settle(given)
        account.model = spending.model = plan.model
        await spending.reserve(plan.most_flops)
        tell_standings(request, spending)
        ticket = held.enter_context(pipeline.admit(plan, spending.owner, spending.spend))
        most = settings.max_files if media_type == JSON else 1
        videos, later = await spool_all(
            request,
            upload,
            held,
            settings.spool_dir,
            most,
            lambda path, expected_bytes: pipeline.early(path, plan, expected_bytes),
        )
        if later:
            plan = settle([*given, *later])
            account.model = spending.model = plan.model
            await spending.reserve(plan.most_flops)
            ticket.reserve(plan.most_flops, expected_flops=plan.expected_flops)
        asked_for = await fingerprint_of(request, [*given, *later], *(video.path for video in videos))
        async with once(request, asked_for) as answer:
            if answer.kept is not None:
                account.replayed()
                return answer.kept
            if len(videos) > 1:
                answers = await unless_client_leaves(
                    request,
                    recognize_several(
                        pipeline,
                        videos,
                        plan,
                        (account, ticket),
                        spending,
                        new_account,
                        request_id,
                        no_store=no_store_of(request),
                    ),
                )
                await spending.settle()
                tell_standings(request, spending)
                response = Response(answers.model_dump_json(), media_type=JSON)
                return await answer.keep(response) if is_settled(answers) else response
            ticket.when_place_is_free(
                partial(drop, videos[0].path)
            )  # it stays till the answer: frames may lack till then
            decoded = await unless_client_leaves(
                request,
                pipeline.decode(
                    videos[0].path,
                    plan,
                    ticket,
                    videos[0].upload_s,
                    no_store=no_store_of(request),
                    early=videos[0].early,
                ),
            )
            if media_type == sse.MEDIA_TYPE:
                told = events(pipeline, decoded, account, spending, request_id)
                return sse.EventStream(told, held.pop_all(), ping_s=settings.sse_ping_s)
            recognition = await unless_client_leaves(request, _last(pipeline, decoded))
            account.answered(recognition)
            spending.answered()
            await spending.settle()
            tell_standings(request, spending)
            said = recognition_answer(recognition, pipeline.offer(plan.model)).model_dump_json()
            return await answer.keep(Response(said, media_type=JSON))


def _early_options(request: Request, ceilings: Ceilings) -> list[tuple[str, str]]:
    """Those of the query, found sound before a byte of the body is read. Raises InvalidOption."""
    query = request.query_params.multi_items()
    parse_options(query, ceilings)
    return query


def _settled(request: Request, pipeline: Pipeline, ceilings: Ceilings, given: list[tuple[str, str]]) -> Plan:
    """Raises InvalidOption and what planning raises."""
    options = parse_options(given, ceilings)
    if options.picture:
        refuse_key(request, "an answer with a picture is not kept; leave out picture, or this key")
    return pipeline.plan(options, gives_way=True)


def _name_of(key: Key | None) -> str | None:
    return None if key is None else key.name


def _without_picture(options: RecognitionOptions) -> RecognitionOptions:
    """Those of a job. Raises InvalidOption."""
    if options.picture:
        raise InvalidOption(
            "picture=true: a job's answer is kept until it is fetched, and pictures are not kept; leave it out, or ask "
            "without `Prefer: respond-async`",
            option="picture",
        )
    return options


async def _last(pipeline: Pipeline, decoded: Decoded) -> Recognition:
    async with aclosing(pipeline.run(decoded)) as items:
        async for item in items:
            if isinstance(item, Recognition):
                return item
    raise AssertionError("the pipeline ended without an answer")
