"""Reads the events of one recognition. Knows no connection."""

from httpx_sse import ServerSentEvent

from fovea._problems import parsed, problem_in
from fovea.answers import RecognitionAnswer, StepEvent
from fovea.errors import ServiceLost


class StepReader:
    """Turns events into values, in order, and notices when the last one is missing."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._num_steps = 0
        self._is_complete = False

    def read(self, event: ServerSentEvent) -> StepEvent | RecognitionAnswer | None:
        """The event's value; None for a kind that this version does not know. Raises what a `problem` event says."""
        match event.event:
            case "step":
                self._num_steps += 1
                return parsed(StepEvent, event.data, self._url)
            case "result":
                self._is_complete = True
                return parsed(RecognitionAnswer, event.data, self._url)
            case "problem":
                raise problem_in(event.data, self._url)
            case _:
                return None

    def end(self) -> None:
        """The connection has closed in good order. Raises ServiceLost where no answer came before."""
        if not self._is_complete:
            raise ServiceLost(
                f"{self._url} ended its answer after {self._num_steps} steps, without a result; ask again"
            )
