"""POST /v1/recognitions: a video in, a recognition out, at once or step by step. Knows HTTP, not how it is done.

Everything that can be refused is refused before the video is read: options, budget, room.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import ExitStack, aclosing
from functools import partial
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response

from fovea.answers import RecognitionAnswer
from fovea.errors import RequestCancelled
from service.api.body.multipart import VIDEO
from service.api.body.spool import drop, save, spooled
from service.api.body.uploads import open_upload
from service.api.edge import sse
from service.api.edge.negotiation import preferred
from service.api.edge.parts import client_of, metrics_of, pipeline_of, request_id_of, settings_of
from service.api.edge.problems import refusals
from service.api.operation.accounting import Account
from service.api.recognitions.answers import recognition_answer
from service.api.recognitions.events import events
from service.api.recognitions.options import OPTIONS, Ceilings, parse_options
from service.engine.pipeline import Decoded, Pipeline
from service.engine.request import Recognition

JSON = "application/json"
T = TypeVar("T")

router = APIRouter(tags=["recognitions"])

_FORM = {
    "type": "object",
    "required": [VIDEO],
    # Options may be fields, too; described twice, what is made of this description would send two values of each.
    "properties": {VIDEO: {"type": "string", "format": "binary", "description": "The file."}},
}
_RAW = {"schema": {"type": "string", "format": "binary"}}
_OPENAPI: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "query", "schema": schema, "description": text}
        | ({} if example is None else {"example": example})
        for name, (schema, text, example) in OPTIONS.items()
    ],
    "requestBody": {
        "required": True,
        "description": "A form with the file, or the video itself. In a form, each option of the query may be a field "
        "instead; those before the file are checked before it is read.",
        "content": {"multipart/form-data": {"schema": _FORM}, "video/*": _RAW, "application/octet-stream": _RAW},
    },
}

_EVENTS_EXAMPLE = (
    'id: 0\nevent: step\ndata: {"step":0,"kind":"glance","gflops":0.44,"entropy_nats":1.7,"spent_gflops":0.44,…}\n\n'
    'id: 0\nevent: result\ndata: {"id":"rec_01J…","model":"adafocus-v3-compact",…}\n\n'
)


@router.post(
    "/v1/recognitions",
    response_model=RecognitionAnswer,
    summary="Recognise what happens in a video",
    openapi_extra=_OPENAPI,
    responses={
        200: {
            "description": "The recognition; as text/event-stream a `step` per step, then `result` or `problem`.",
            "content": {sse.MEDIA_TYPE: {"schema": {"type": "string"}, "example": _EVENTS_EXAMPLE}},
        },
        **refusals(
            s400="The body is malformed or incomplete.",
            s406="Neither application/json nor text/event-stream is acceptable.",
            s408="The body took too long.",
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

    With `Accept: text/event-stream` each step arrives as it is taken.
    """
    settings, request_id = settings_of(request), request_id_of(request)
    ceilings = Ceilings(top_k=settings.max_top_k, deadline_ms=settings.max_deadline_ms)
    with ExitStack() as held:
        account = held.enter_context(Account(metrics_of(request), request_id, client_of(request)))
        media_type = preferred(request.headers.get("accept"), (JSON, sse.MEDIA_TYPE))
        pipeline = pipeline_of(request)
        query = request.query_params.multi_items()
        parse_options(query, ceilings)  # before a byte of the body is read
        upload = open_upload(
            request,
            max_bytes=settings.max_upload_bytes,
            timeout_s=settings.upload_timeout_s,
            min_bytes_per_s=settings.min_upload_bytes_per_s,
        )
        given = [*query, *await upload.fields()]
        plan = pipeline.plan(parse_options(given, ceilings))
        account.model = plan.model
        ticket = held.enter_context(pipeline.admit(plan))
        path = held.enter_context(spooled(settings.spool_dir))  # until the answer: a clip may lack frames till then
        ticket.when_place_is_free(partial(drop, path))
        upload_s = await save(upload.video(), path)
        if later := await upload.later_fields():
            plan = pipeline.plan(parse_options([*given, *later], ceilings))
            account.model = plan.model
            ticket.reserve(plan.most_flops)
        decoded = await unless_client_leaves(request, pipeline.decode(path, plan, ticket, upload_s))
        if media_type == sse.MEDIA_TYPE:
            told = events(pipeline, decoded, account, request_id)
            return sse.EventStream(told, held.pop_all(), ping_s=settings.sse_ping_s)
        recognition = await unless_client_leaves(request, _last(pipeline, decoded))
        account.answered(recognition)
        answer = recognition_answer(recognition, pipeline.offer(plan.model))
        return Response(answer.model_dump_json(), media_type=JSON)


async def _last(pipeline: Pipeline, decoded: Decoded) -> Recognition:
    async with aclosing(pipeline.run(decoded)) as items:
        async for item in items:
            if isinstance(item, Recognition):
                return item
    raise AssertionError("the pipeline ended without an answer")


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await `work`; cancel it when the client closes the connection. Raises RequestCancelled then.

    The request's body must have been read to its end.
    """
    task = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise RequestCancelled.before_answer()
        return task.result()
    finally:
        task.cancel()
        leaving.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
