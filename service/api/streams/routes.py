"""`/v1/streams`: subscribe to cameras, look after them, follow what they tell. Knows HTTP, not how it is done."""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request, Response

from fovea.answers import refusals
from fovea.errors import Draining, InvalidOption, UnknownStream
from fovea.stream_answers import NewStream, Stream, StreamList
from service.api.body.body import Body
from service.api.edge import sse
from service.api.edge.negotiation import check_json
from service.api.edge.parts import pipeline_of, settings_of, supervisor_of
from service.api.streams.answers import stream_answer
from service.api.streams.events import Following, follow
from service.api.streams.options import parse_new_stream, settle
from service.ledger.base import Record
from service.streams.subscription import Subscription, is_ours
from service.streams.supervisor import Supervisor

JSON = "application/json"
MAX_BODY_BYTES = 64 * 1024

router = APIRouter(tags=["streams"])

_NEW_STREAM = NewStream.model_json_schema(ref_template="#/components/schemas/{model}")
_NEW_STREAM.pop("$defs")  # its enums stand among the components anyway, for the answers
_BODY: dict[str, Any] = {"requestBody": {"required": True, "content": {JSON: {"schema": _NEW_STREAM}}}}
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
_EVENTS_EXAMPLE = (
    'event: state\nid: 1764036000123-0\ndata: {"stream":"str_01JD…","state":"live",…}\n\n'
    'event: result\nid: 1764036001204-0\ndata: {"stream":"str_01JD…","frame_age_s":0.18,"recognition":{…},…}\n\n'
)


@router.post(
    "/v1/streams",
    status_code=201,
    response_model=Stream,
    summary="Subscribe to a camera",
    openapi_extra=_BODY,
    responses=refusals(
        s408="The body took too long.",
        s413="The body is too large.",
        s415="The body is not said to be JSON.",
        s422="An option, the budget or the URL cannot be.",
        s429="As many streams as there may be.",
        s503="Loading, or the shared state is away.",
    ),
)
async def subscribe(request: Request, response: Response) -> Stream:
    """Nothing is waited for: whether the camera can be reached is told by its state, and by `/events`."""
    settings, pipeline, supervisor = settings_of(request), pipeline_of(request), supervisor_of(request)
    if pipeline.admission.draining:
        raise Draining("the service is shutting down; subscribe at another replica", retry_after_s=1)
    if request.query_params:
        raise InvalidOption("options of a stream go into the body, as JSON: queries are logged, passwords with them")
    check_json(request.headers.get("content-type"))
    body = Body(request, max_bytes=MAX_BODY_BYTES, timeout_s=settings.upload_timeout_s)
    text = b""
    while chunk := await body.read():
        text += chunk
    subscription = await settle(parse_new_stream(text), pipeline, settings, supervisor.policy)
    await supervisor.subscribe(subscription)
    response.headers["Location"] = f"/v1/streams/{subscription.id}"
    return await _answer(supervisor, subscription.record())


@router.get(
    "/v1/streams", summary="The subscribed cameras", responses=refusals(s503="Loading, or the shared state is away.")
)
async def list_streams(request: Request) -> StreamList:
    supervisor = supervisor_of(request)
    records = [record for record in await supervisor.state.records() if is_ours(record)]
    return StreamList(streams=list(await asyncio.gather(*(_answer(supervisor, record) for record in records))))


@router.get(
    "/v1/streams/{stream}",
    summary="One camera's subscription, and where it stands",
    responses=refusals(s404="No such stream.", s503="Loading, or the shared state is away."),
)
async def show_stream(request: Request, stream: str) -> Stream:
    supervisor = supervisor_of(request)
    record = await _record(supervisor, stream)
    await supervisor.state.read(stream)
    return await _answer(supervisor, record)


@router.delete(
    "/v1/streams/{stream}",
    status_code=204,
    summary="Unsubscribe",
    responses=refusals(s404="No such stream.", s503="Loading, or the shared state is away."),
)
async def unsubscribe(request: Request, stream: str) -> None:
    if not await supervisor_of(request).unsubscribe(stream):
        raise _unknown(stream)


@router.get(
    "/v1/streams/{stream}/events",
    response_class=Response,
    summary="Follow a camera's results and states as they come",
    openapi_extra=_LAST_ID,
    responses={
        200: {
            "description": "`result` and `state` events, until the stream is deleted.",
            # No schema: OpenAPI 3.1 has none for a stream of events.
            "content": {sse.MEDIA_TYPE: {"example": _EVENTS_EXAMPLE}},
        },
        **refusals(
            s404="No such stream.",
            s422="Last-Event-ID is none of ours.",
            s429="As many clients follow as there may be.",
            s503="Loading, or the shared state is away.",
        ),
    },
)
async def events(request: Request, stream: str) -> Response:
    supervisor, settings = supervisor_of(request), settings_of(request)
    await _record(supervisor, stream)
    last_id = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    following: Following = request.app.state.following
    held = following.join(most=settings.max_stream_followers)
    try:
        admission = pipeline_of(request).admission
        items = await follow(supervisor.state, stream, last_id, ends=lambda: admission.draining)
    except BaseException:
        held.close()
        raise
    return sse.EventStream(items, held, ping_s=settings.sse_ping_s)


async def _answer(supervisor: Supervisor, record: Record) -> Stream:
    state = supervisor.state
    report, ends, unread_s = await asyncio.gather(
        state.status(record.id), state.ends(record.id), state.unread_s(record.id)
    )
    last_event_id = None if ends is None else ends[1]
    return stream_answer(Subscription.of(record), report, last_event_id, unread_s, time.time())


async def _record(supervisor: Supervisor, stream: str) -> Record:
    record = await supervisor.state.record(stream)
    if record is None:
        raise _unknown(stream)
    return record


def _unknown(stream: str) -> UnknownStream:
    return UnknownStream(f"there is no stream {stream[:64]!r}, or it is deleted; GET /v1/streams lists them")
