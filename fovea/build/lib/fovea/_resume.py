"""Where a follower of a stream stands, and how it goes on after an interruption. Knows no connection.

An event's id is noted when the event is handed on, and what comes after it is asked for again: nothing comes twice,
however often the connection breaks or the service is restarted. What the service itself has forgotten is told as a gap.
"""

import random
import time
from dataclasses import dataclass

from httpx_sse import ServerSentEvent

from fovea._calls import EVENTS, Call, stream_path
from fovea._problems import parsed
from fovea.errors import FoveaError, ServiceLost
from fovea.stream_answers import GapEvent, ResultEvent, StateEvent, Stream
from fovea.words import StreamState

BEFORE_ALL = "0-0"  # smaller than every event's id
FIRST_WAIT_S, MAX_WAIT_S = 0.25, 5.0


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """What a stream told."""

    id: str | None  # resumes after it; None: the present state or a gap, which have no place in the order of events
    data: StateEvent | ResultEvent | GapEvent

    @property
    def name(self) -> str:
        """As the event is called on the wire."""
        match self.data:
            case StateEvent():
                return "state"
            case ResultEvent():
                return "result"
            case GapEvent():
                return "gap"

    @property
    def is_last(self) -> bool:
        return isinstance(self.data, StateEvent) and self.data.state == StreamState.DELETED


class Resume:
    """`reconnect_for_s`: how long to go on trying since something was last heard."""

    def __init__(self, stream: str, url: str, last_event_id: str | None, reconnect_for_s: float) -> None:
        self._stream = stream
        self._url = url
        self._last_id = last_event_id
        self._fallback_id: str | None = None  # resumes an interruption before the first id came
        self._reconnect_for_s = reconnect_for_s
        self._num_interruptions = 0  # in a row
        self._heard_s = time.monotonic()

    @property
    def needs_start(self) -> bool:
        """Whether `begin` is still to be called, before the first connection."""
        return self._last_id is None and self._fallback_id is None

    def begin(self, stream: Stream) -> None:
        self._fallback_id = stream.last_event_id or BEFORE_ALL

    def call(self) -> Call:
        """`GET /v1/streams/{id}/events`, from where the follower stands."""
        last_id = self._last_id or (self._fallback_id if self._num_interruptions else None)
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        return Call("GET", f"{stream_path(self._stream)}/events", EVENTS, headers=headers)

    def read(self, event: ServerSentEvent) -> StreamEvent | None:
        """The event as a value; None for a kind that this version does not know."""
        self._heard_s, self._num_interruptions = time.monotonic(), 0
        event_id = event.id or None
        match event.event:
            case "state":
                data: StateEvent | ResultEvent = parsed(StateEvent, event.data, self._url)
            case "result":
                data = parsed(ResultEvent, event.data, self._url)
            case "gap":
                return StreamEvent(None, parsed(GapEvent, event.data, self._url))
            case _:
                return None
        self._last_id = event_id or self._last_id
        return StreamEvent(event_id, data)

    def wait_s(self, error: FoveaError) -> float:
        """Seconds until the next try. Raises `error` once there has been nothing to hear for too long."""
        if time.monotonic() - self._heard_s > self._reconnect_for_s:
            raise error
        self._num_interruptions += 1
        wait_s = min(FIRST_WAIT_S * 2.0 ** (self._num_interruptions - 1), MAX_WAIT_S)
        return max(wait_s * random.uniform(0.5, 1), error.retry_after_s or 0)

    def ended(self) -> ServiceLost:
        """The connection closed in good order, and the stream's last event had not come: the service shuts down."""
        return ServiceLost(f"{self._url} ended the events of {self._stream}, but not the stream; follow it again")
