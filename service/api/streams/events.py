"""A stream's events as server-sent events: replay, then what is new. Knows neither cameras nor what events say."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack

from sse_starlette import ServerSentEvent

from fovea.errors import InvalidOption, Overloaded, Unavailable
from fovea.words import StreamState
from service.ledger.base import Event, State, id_key

BEFORE_ALL = "0-0"
SLICE_S = 1.0  # how soon a follower notices that the service shuts down
AGAIN_S = 1.0  # before a shared state that is away is asked again


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
    state: State, stream: str, last_id: str | None, *, ends: Callable[[], bool]
) -> AsyncIterator[ServerSentEvent]:
    """Events after `last_id`, or the present state and then what is new. Raises InvalidOption, Unavailable."""
    if last_id is not None:
        try:
            id_key(last_id)
        except ValueError as error:
            raise InvalidOption(f"Last-Event-ID: {error}; leave it out to begin now", option="last_event_id") from None
        return _events(state, stream, last_id, ends)
    kept = await state.ends(stream)
    report = await state.status(stream)
    return _events(state, stream, BEFORE_ALL if kept is None else kept[1], ends, None if report is None else report)


async def _events(
    state: State, stream: str, after: str, ends: Callable[[], bool], report: str | None = None
) -> AsyncIterator[ServerSentEvent]:
    if report is not None:
        yield _present(stream, report)
    while not ends():
        try:
            news = await state.events(stream, after, wait_s=SLICE_S)
            await state.read(stream)
            is_gone = not news and await state.record(stream) is None
        except Unavailable:  # the stream goes on elsewhere, and so does this, once the state is back
            await asyncio.sleep(AGAIN_S)
            continue
        for event in news:
            after = event.id
            yield ServerSentEvent(event.data, event=event.name, id=event.id)
            if _is_last(event):
                return
        if is_gone:
            return


def _present(stream: str, report: str) -> ServerSentEvent:
    """The state as it is, as an event without an id: it takes no place in the order of events."""
    data = {"stream": stream, **json.loads(report)["status"]}
    return ServerSentEvent(json.dumps(data, separators=(",", ":")), event="state")


def _is_last(event: Event) -> bool:
    return event.name == "state" and bool(json.loads(event.data)["state"] == StreamState.DELETED)
