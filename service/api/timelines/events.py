"""A timeline as server-sent events: each segment as it is found, then the answer. Knows no upload and no option."""

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from pydantic import BaseModel
from sse_starlette import JSONServerSentEvent, ServerSentEvent

from fovea.errors import FoveaError
from fovea.timeline_answers import Segment, TimelineAnswer, TimelineProgress
from service.api.edge.problems import problem_of
from service.api.operation.accounting import Account
from service.api.timelines.telling import Told

log = logging.getLogger(__name__)


async def events(
    told: AsyncGenerator[Told, None], first: Told, account: Account, request_id: str
) -> AsyncIterator[ServerSentEvent]:
    """`told` as events, `first` before all: `segment`s, `progress` now and then, last `result`; or `problem`.

    The id is the segment's number.
    """
    number = 0
    try:
        async with aclosing(told):
            async for item in _all(first, told):
                match item:
                    case Segment():
                        yield _event("segment", number, item)
                        number += 1
                    case TimelineProgress():
                        yield _event("progress", None, item)
                    case TimelineAnswer():
                        account.told(story_of(item))
                        yield _event("result", number, item)
    except Exception as error:  # the answer has begun: what goes wrong now is an event of its own
        account.failed(error)
        if not isinstance(error, FoveaError):
            log.exception("request %s met an error nobody expected", request_id)
            error = FoveaError("unexpected")
        yield JSONServerSentEvent(problem_of(error, request_id), event="problem")


async def _all(first: Told, rest: AsyncIterator[Told]) -> AsyncIterator[Told]:
    yield first
    async for item in rest:
        yield item


def story_of(answer: TimelineAnswer) -> str:
    """For the log."""
    return (
        f"id={answer.id} end={answer.end.reason} video_s={answer.video.duration_s:g} segments={len(answer.segments)} "
        f"windows={answer.compute.windows.count} full={answer.compute.windows.full} "
        f"spent_gflops={answer.compute.spent_gflops:g} frames_decoded={answer.video.frames_decoded}"
    )


def _event(kind: str, number: int | None, value: BaseModel) -> ServerSentEvent:
    return ServerSentEvent(value.model_dump_json(), event=kind, id=None if number is None else str(number))
