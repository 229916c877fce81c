"""Reads the events of one timeline. Knows no connection."""

from typing import TypeAlias

from httpx_sse import ServerSentEvent

from fovea._problems import parsed, problem_in
from fovea.errors import ServiceLost
from fovea.timeline_answers import Segment, TimelineAnswer, TimelineProgress

TimelineItem: TypeAlias = Segment | TimelineProgress | TimelineAnswer


class TimelineReader:
    """Turns events into values, in order, and notices when the last one is missing."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._num_segments = 0
        self.answer: TimelineAnswer | None = None  # once it has come

    def read(self, event: ServerSentEvent) -> TimelineItem | None:
        """The event's value; None for a kind that this version does not know. Raises what a `problem` event says."""
        match event.event:
            case "segment":
                self._num_segments += 1
                return parsed(Segment, event.data, self._url)
            case "progress":
                return parsed(TimelineProgress, event.data, self._url)
            case "result":
                self.answer = parsed(TimelineAnswer, event.data, self._url)
                return self.answer
            case "problem":
                raise problem_in(event.data, self._url)
            case _:
                return None

    def end(self) -> None:
        """The connection has closed in good order. Raises ServiceLost where no answer came before."""
        if self.answer is None:
            raise ServiceLost(
                f"{self._url} ended its answer after {self._num_segments} segments, without a result; ask again"
            )
