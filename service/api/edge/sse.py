"""An answer of server-sent events, and what it holds until it is over. Knows no event by name."""

from collections.abc import AsyncIterator
from contextlib import ExitStack

from sse_starlette import EventSourceResponse, ServerSentEvent
from sse_starlette.sse import AppStatus
from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "text/event-stream"

# A stream ends by itself within one recognition. Cutting it at SIGTERM, as sse-starlette would, is no drain.
AppStatus.enable_automatic_graceful_drain = False


class EventStream(EventSourceResponse):
    """Holds what the request holds (its reservation, its account) until the stream is over, however it ends."""

    def __init__(self, events: AsyncIterator[ServerSentEvent], held: ExitStack, *, ping_s: float) -> None:
        super().__init__(events, ping=ping_s, ping_message_factory=lambda: ServerSentEvent(comment="still here"))
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)
