"""`/v1/streams`: subscribe to cameras, look after them, follow what they tell. Knows HTTP, not how it is done."""

import asyncio
import time
from email.utils import formatdate
from typing import Any

from fastapi import APIRouter, Request, Response

from fovea.errors import Draining, InvalidOption, Unavailable, UnknownStream
from fovea.stream_answers import NewStream, Stream, StreamList
from service.api.body.body import Body
from service.api.edge import sse
from service.api.edge.idempotency import KEY_PARAMETER, fingerprint_of, once
from service.api.edge.negotiation import check_json
from service.api.edge.parts import accounts_of, key_of, pipeline_of, settings_of, supervisor_of
from service.api.edge.problems import refusals
from service.api.jobs.accepting import check_receiver
from service.api.streams.answers import stream_answer
from service.api.streams.events import Following, follow
from service.api.streams.options import parse_new_stream, settle
from service.keys.key import Scope
from service.streams import records
from service.streams.room import check_room
from service.streams.status import Report
from service.streams.subscription import Subscription
from service.streams.supervisor import Supervisor

JSON = "application/json"
MAX_BODY_BYTES = 64 * 1024

router = APIRouter(tags=["streams"])

_NEW_STREAM = NewStream.model_json_schema(ref_template="#/components/schemas/{model}")
_NEW_STREAM.pop("$defs")  # its enums stand among the components anyway, for the answers
_BODY: dict[str, Any] = {
    "parameters": [KEY_PARAMETER],
    "requestBody": {"required": True, "content": {JSON: {"schema": _NEW_STREAM}}},
}
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
        s409="The first request with this Idempotency-Key is not answered yet.",
        s413="The body is too large.",
        s415="The body is not said to be JSON.",
        s422="An option, the budget or the URL cannot be.",
        s429="As many streams as there may be.",
        s503="Loading, or the shared state is away.",
    ),
)
async def subscribe(request: Request) -> Response:
    """Nothing is waited for: whether the camera can be reached is told by its state, and by `/events`."""
    settings, pipeline, supervisor = settings_of(request), pipeline_of(request), supervisor_of(request)
    if pipeline.admission.draining:
        raise Draining.refused()
    if request.query_params:
        raise InvalidOption("options of a stream go into the body, as JSON: queries are logged, passwords with them")
    check_json(request.headers.get("content-type"))
    body = Body(request, max_bytes=MAX_BODY_BYTES, timeout_s=settings.upload_timeout_s)
    text = b""
    while chunk := await body.read():
        text += chunk
    key = key_of(request)
    owner = "" if key is None else key.name
    new = parse_new_stream(text)
    async with once(request, await fingerprint_of(request, [], new.model_dump_json().encode())) as answer:
        if answer.kept is not None:
            return answer.kept
        if new.webhook_url is not None:
            await check_receiver(request, new.webhook_url)
        if new.id is None:
            new = new.model_copy(update={"id": f"str_{answer.turn.ulid}"})
        asked = await settle(new, pipeline, settings, supervisor.policy, owner)
        if key is not None:
            readable, _ = await _subscribed(supervisor)
            check_room(readable, asked, accounts_of(request).owners(Scope.STREAMS), settings.max_streams)
        subscription = await supervisor.subscribe(asked)
        said = (await _answer(supervisor, subscription)).model_dump_json()
        headers = {"Location": f"/v1/streams/{subscription.id}"}
        return await answer.keep(Response(said, 201, headers, JSON))


@router.get(
    "/v1/streams", summary="The subscribed cameras", responses=refusals(s503="Loading, or the shared state is away.")
)
async def list_streams(request: Request) -> StreamList:
    """Those that another version has subscribed, and that this one cannot read, are named in `unreadable`.

    A key sees the cameras that were subscribed with it; one with the scope `admin` sees all.
    """
    supervisor = supervisor_of(request)
    readable, unreadable = await _subscribed(supervisor)
    seen = [subscription for subscription in readable if _may_see(request, subscription)]
    streams = await asyncio.gather(*(_answer(supervisor, subscription) for subscription in seen))
    return StreamList(streams=list(streams), unreadable=unreadable)


@router.get(
    "/v1/streams/{stream}",
    summary="One camera's subscription, and where it stands",
    responses=refusals(s404="No such stream.", s503="Loading, or the shared state is away."),
)
async def show_stream(request: Request, stream: str) -> Stream:
    supervisor = supervisor_of(request)
    subscription = await _subscription(request, supervisor, stream)
    await supervisor.book.read(stream)
    return await _answer(supervisor, subscription)


@router.get(
    "/v1/streams/{stream}/snapshot",
    response_class=Response,
    summary="The camera's latest picture, as a JPEG",
    responses={
        200: {"description": "The middle picture of the latest window.", "content": {"image/jpeg": {}}},
        **refusals(s404="No such stream.", s503="No picture yet, loading, or the shared state is away."),
    },
)
async def show_picture(request: Request, stream: str) -> Response:
    """In the camera's proportions, and as large as the model sees it. `Last-Modified` says when it was taken."""
    supervisor = supervisor_of(request)
    await _subscription(request, supervisor, stream)
    await supervisor.book.read(stream)
    snapshot = await supervisor.snapshot(stream)
    if snapshot is None:
        raise Unavailable(f"there is no picture of stream {stream} at the moment; its state says why", retry_after_s=2)
    headers = {"Last-Modified": formatdate(snapshot.captured_s, usegmt=True), "Cache-Control": "no-store"}
    return Response(snapshot.jpeg, headers=headers, media_type="image/jpeg")


@router.delete(
    "/v1/streams/{stream}",
    status_code=204,
    summary="Unsubscribe",
    responses=refusals(s404="No such stream.", s503="Loading, or the shared state is away."),
)
async def unsubscribe(request: Request, stream: str) -> None:
    supervisor = supervisor_of(request)
    if key_of(request) is not None:
        await _subscription(request, supervisor, stream)
    if not await supervisor.unsubscribe(stream):
        raise _unknown(stream)


@router.get(
    "/v1/streams/{stream}/events",
    response_class=Response,
    summary="Follow a camera's results and states as they come",
    openapi_extra=_LAST_ID,
    responses={
        200: {
            "description": "`result`, `state` and `gap` events, until the stream is deleted.",
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
    await _subscription(request, supervisor, stream)
    last_id = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
    following: Following = request.app.state.following
    held = following.join(most=settings.max_stream_followers)
    try:
        admission = pipeline_of(request).admission
        items = await follow(supervisor.book, stream, last_id, ends=lambda: admission.draining)
    except BaseException:
        held.close()
        raise
    return sse.EventStream(items, held, ping_s=settings.sse_ping_s)


async def _answer(supervisor: Supervisor, subscription: Subscription) -> Stream:
    book, stream = supervisor.book, subscription.id
    report, last_event_id, unread_s = await asyncio.gather(
        book.report(stream), book.last_id(stream), book.unread_s(stream)
    )
    return stream_answer(subscription, _readable(report), last_event_id, unread_s, time.time())


def _readable(report: str | None) -> Report | None:
    """A report of another version tells nothing here: the stream seems to wait, as it does for this version."""
    try:
        return None if report is None else records.report_of(report)
    except records.OtherVersion:
        return None


async def _subscribed(supervisor: Supervisor) -> tuple[list[Subscription], list[str]]:
    """All of them, and the ids of those that another version has subscribed."""
    readable, unreadable = [], []
    for record in await supervisor.book.records():
        try:
            readable.append(records.subscription_of(record))
        except records.OtherVersion:
            unreadable.append(record.id)
    return readable, unreadable


def _may_see(request: Request, subscription: Subscription) -> bool:
    key = key_of(request)
    return key is None or key.opens(Scope.ADMIN) or subscription.owner == key.name


async def _subscription(request: Request, supervisor: Supervisor, stream: str) -> Subscription:
    """Raises UnknownStream, also where it is another key's; Unavailable where another version has subscribed it."""
    record = await supervisor.book.record(stream)
    if record is None:
        raise _unknown(stream)
    try:
        subscription = records.subscription_of(record)
    except records.OtherVersion:
        raise Unavailable(
            f"stream {stream} was subscribed by another version of Fovea, and this one cannot read it; ask a replica "
            "of that version, or delete it and subscribe to the camera again",
            retry_after_s=10,
        ) from None
    if not _may_see(request, subscription):
        raise _unknown(stream)
    return subscription


def _unknown(stream: str) -> UnknownStream:
    return UnknownStream(f"there is no stream {stream[:64]!r}, or it is deleted; GET /v1/streams lists them")
