"""A recognition as server-sent events: each step as it is taken, then the answer. Knows no upload and no option."""

import logging
from collections.abc import AsyncIterator
from contextlib import aclosing

from pydantic import BaseModel
from sse_starlette import JSONServerSentEvent, ServerSentEvent

from fovea.errors import FoveaError
from service.api.edge.problems import problem_of
from service.api.operation.accounting import Account
from service.api.recognitions.answers import recognition_answer, step_event
from service.engine.decoded import Decoded
from service.engine.pipeline import Pipeline
from service.engine.request import Step
from service.keys.spending import Spending

log = logging.getLogger(__name__)


async def events(
    pipeline: Pipeline, decoded: Decoded, account: Account, spending: Spending, request_id: str
) -> AsyncIterator[ServerSentEvent]:
    """`step` for every step, then `result`; or `problem`, last. The id is the step's number."""
    plan, offer = decoded.plan, pipeline.offer(decoded.plan.model)
    spent_flops = step = 0
    try:
        async with aclosing(pipeline.run(decoded)) as items:
            async for item in items:
                if isinstance(item, Step):
                    spent_flops, step = spent_flops + (0 if item.held else item.flops), item.step
                    yield _event("step", step, step_event(item, spent_flops, decoded.clip, offer, plan))
                else:
                    account.answered(item)
                    spending.answered()
                    yield _event("result", step, recognition_answer(item, offer))
    except Exception as error:  # the answer has begun: what goes wrong now is an event of its own
        account.failed(error)
        if not isinstance(error, FoveaError):
            log.exception("request %s met an error nobody expected", request_id)
            error = FoveaError("unexpected")
        yield JSONServerSentEvent(problem_of(error, request_id), event="problem")


def _event(kind: str, step: int, value: BaseModel) -> ServerSentEvent:
    return ServerSentEvent(value.model_dump_json(), event=kind, id=str(step))
