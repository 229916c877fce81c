"""A recognition as server-sent events: each step as it is taken, then the answer. Knows no upload and no option."""

import logging
from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing

from pydantic import BaseModel
from sse_starlette import EventSourceResponse, JSONServerSentEvent, ServerSentEvent
from sse_starlette.sse import AppStatus
from starlette.types import Receive, Scope, Send

from fovea.errors import FoveaError
from service.api.edge.problems import problem_of
from service.api.operation.accounting import Account
from service.api.recognitions.answers import recognition_answer, step_event
from service.engine.pipeline import Decoded, Pipeline
from service.engine.request import Step

log = logging.getLogger(__name__)

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


async def events(
    pipeline: Pipeline, decoded: Decoded, account: Account, request_id: str
) -> AsyncIterator[ServerSentEvent]:
    """`step` for every step, then `result`; or `problem`, last. The id is the step's number."""
    plan, clip, offer = decoded.plan, decoded.clip, pipeline.offer(decoded.plan.model)
    spent_flops = step = 0
    try:
        async with aclosing(pipeline.run(decoded)) as items:
            async for item in items:
                if isinstance(item, Step):
                    spent_flops, step = spent_flops + item.flops, item.step
                    yield _event("step", step, step_event(item, spent_flops, clip, offer, plan.top_k))
                else:
                    account.answered(item)
                    yield _event("result", step, recognition_answer(item, offer))
    except Exception as error:  # the answer has begun: what goes wrong now is an event of its own
        account.failed(error)
        if not isinstance(error, FoveaError):
            log.exception("request %s met an error nobody expected", request_id)
            error = FoveaError("unexpected")
        yield JSONServerSentEvent(problem_of(error, request_id), event="problem")


def _event(kind: str, step: int, value: BaseModel) -> ServerSentEvent:
    return ServerSentEvent(value.model_dump_json(), event=kind, id=str(step))
