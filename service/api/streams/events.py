"""A stream's events as server-sent events: replay, then what is new. Knows no camera."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack

from sse_starlette import ServerSentEvent

from fovea.errors import InvalidOption, Overloaded, Unavailable
from fovea.stream_answers import GapEvent
from fovea.words import StreamState
from service.api.streams.answers import result_event, state_event
from service.ledger.base import BEFORE_ALL, Book, Event, id_key
from service.streams import records
from service.streams.status import Result, Status

SLICE_S = 1.0  # how soon a follower notices that the service shuts down
AGAIN_S = 1.0  # before a ledger that is away is asked again

log = logging.getLogger(__name__)


class Following:
    """Who follows: bounded, and given back however it ends."""

    def __init__(self) -> None:
        self._num_followers = 0  # counted, not named: a client may choose its request's id

    def join(self, *, most: int) -> ExitStack:
        """Raises Overloaded."""
        if self._num_followers >= most:
            raise Overloaded(f"{most} clients follow events here already, the most there may be; try again later")
        self._num_followers += 1
        held = ExitStack()
        held.callback(self._leave)
        return held

    def _leave(self) -> None:
        self._num_followers -= 1


async def follow(
    book: Book, stream: str, last_id: str | None, *, ends: Callable[[], bool]
) -> AsyncIterator[ServerSentEvent]:
    """Events after `last_id`, or the present state and then what is new. Raises InvalidOption, Unavailable."""
    if last_id is not None:
        try:
            id_key(last_id)
        except ValueError as error:
            raise InvalidOption(f"Last-Event-ID: {error}; leave it out to begin now", option="last_event_id") from None
        return _events(book, stream, last_id, last_id, ends)
    newest = await book.last_id(stream)
    return _events(book, stream, newest or BEFORE_ALL, newest, ends, await _present(book, stream))


async def _events(
    book: Book,
    stream: str,
    after: str,
    heard: str | None,
    ends: Callable[[], bool],
    present: ServerSentEvent | None = None,
) -> AsyncIterator[ServerSentEvent]:
    """`heard`: the event that the follower has had last; None: none, so that he can have missed none."""
    if present is not None:
        yield present
    while not ends():
        try:
            news = await book.events(stream, after, wait_s=SLICE_S)
            await book.read(stream)
            is_gone = not news and await book.record(stream) is None
        except Unavailable:  # the stream goes on elsewhere, and so does this, once the ledger is back
            await asyncio.sleep(AGAIN_S)
            continue
        for event in news:
            if heard is not None and id_key(event.before) > id_key(heard):
                yield _gap(stream, heard, event.id)
            heard = after = event.id
            told = _told(stream, event)
            if told is None:
                continue
            yield _sent(stream, told, event.id)
            if isinstance(told, Status) and told.state is StreamState.DELETED:
                return
        if is_gone:
            return


def _told(stream: str, event: Event) -> Status | Result | None:
    """None where it is another version's, whose replicas can tell it."""
    try:
        return records.told_by(event)
    except records.OtherVersion as error:
        log.warning("event %s of stream %s is left out: %s", event.id, stream, error)
        return None


async def _present(book: Book, stream: str) -> ServerSentEvent | None:
    """The state as it is, as an event without an id: it takes no place in the order of events."""
    report = await book.report(stream)
    if report is None:
        return None
    try:
        return _sent(stream, records.report_of(report).status, None)
    except records.OtherVersion:
        return None


def _gap(stream: str, after: str, before: str) -> ServerSentEvent:
    """Without an id: whoever is interrupted here is told again."""
    return ServerSentEvent(GapEvent(stream=stream, after=after, before=before).model_dump_json(), event="gap")


def _sent(stream: str, told: Status | Result, event_id: str | None) -> ServerSentEvent:
    if isinstance(told, Status):
        return ServerSentEvent(state_event(stream, told).model_dump_json(), event="state", id=event_id)
    return ServerSentEvent(result_event(stream, told).model_dump_json(), event="result", id=event_id)
