"""What each kind of job does: the table of bodies. To add a kind, write its body and give it a line in `bodies`.

A body tells the API's JSON, as its synchronous twin would answer. It waits until admission has room for it.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial

from fovea.errors import Overloaded
from fovea.timeline_answers import Segment, TimelineAnswer, TimelineProgress
from service.api.recognitions.answers import recognition_answer, step_event
from service.api.recognitions.options import Ceilings, parse_options
from service.api.timelines.options import parse_timeline_options
from service.api.timelines.telling import tell
from service.engine.admission import Ticket
from service.engine.decoded import Decoded
from service.engine.pipeline import Pipeline
from service.engine.request import Plan, Step
from service.jobs.job import RESULT, Body, Task, Told
from service.keys.spending import Accounts, Spending
from service.settings import Settings
from service.timelines.timelines import Timelines

RECOGNITION = "recognition"
TIMELINE = "timeline"
LONGEST_LOOK_S = 2.0  # between looks at whether there is room


def bodies(pipeline: Pipeline, timelines: Timelines, accounts: Accounts, settings: Settings) -> Mapping[str, Body]:
    """By kind."""
    ceilings = Ceilings(top_k=settings.max_top_k, deadline_ms=settings.max_deadline_ms)
    return {
        RECOGNITION: partial(recognition, pipeline, accounts, ceilings),
        TIMELINE: partial(timeline, pipeline, timelines, ceilings),
    }


async def recognition(
    pipeline: Pipeline, accounts: Accounts, ceilings: Ceilings, task: Task
) -> AsyncGenerator[Told, None]:
    """Every step, then the answer; charged to the key that handed it in."""
    plan = pipeline.plan(parse_options(task.options.items(), ceilings))
    offer = pipeline.offer(plan.model)
    with accounts.spending_of(task.job.owner) as spending, await admitted(pipeline, plan, spending) as ticket:
        decoded = await _decoded(pipeline, task, plan, ticket)
        spent_flops = total_flops = 0
        async with aclosing(pipeline.run(decoded)) as events:
            async for event in events:
                if isinstance(event, Step):
                    total_flops += event.flops
                    spent_flops += 0 if event.held else event.flops
                    told = step_event(event, spent_flops, decoded.clip, offer, plan)
                    yield Told("step", told.model_dump_json(), total_flops / max(1, plan.most_flops))
                else:
                    spending.answered()
                    yield Told(RESULT, recognition_answer(event, offer).model_dump_json(), 1.0)


async def timeline(
    pipeline: Pipeline, timelines: Timelines, ceilings: Ceilings, task: Task
) -> AsyncGenerator[Told, None]:
    """Every segment as it is found, and progress; then the answer. Raises Overloaded where all places are taken."""
    plan = timelines.settle(parse_timeline_options(task.options.items(), ceilings))
    offer, done = pipeline.offer(plan.look.model), 0.0
    with timelines.admitted():
        items = tell(timelines, task.path, plan, offer, task.job.upload_s, key=task.job.owner)
        async with aclosing(items) as told:
            async for item in told:
                match item:
                    case Segment():
                        yield Told("segment", item.model_dump_json(), done)
                    case TimelineProgress():
                        done = item.done_s / item.duration_s if item.duration_s else 0.0
                        yield Told("progress", item.model_dump_json(), done)
                    case TimelineAnswer():
                        yield Told(RESULT, item.model_dump_json(), 1.0)


async def admitted(pipeline: Pipeline, plan: Plan, spending: Spending) -> Ticket:
    """Room for the plan, as soon as there is some. Jobs leave half of the places to those who wait for an answer.

    Raises Draining, and QuotaExceeded where the key's limit is used up.
    """
    spending.model = plan.model
    await spending.reserve(plan.most_flops)
    admission = pipeline.admission
    while True:
        wait_s = 0.1
        if admission.has_room_for_later or admission.draining:
            try:
                return pipeline.admit(plan, spending.owner, spending.spend)
            except Overloaded as error:
                wait_s = error.retry_after_s or wait_s
        await asyncio.sleep(min(wait_s, LONGEST_LOOK_S))


async def _decoded(pipeline: Pipeline, task: Task, plan: Plan, ticket: Ticket) -> Decoded:
    """Costly videos wait for each other; a job waits with them."""
    while True:
        try:
            return await pipeline.decode(task.path, plan, ticket, task.job.upload_s, no_store=task.job.no_store)
        except Overloaded as error:
            await asyncio.sleep(min(error.retry_after_s or 1.0, LONGEST_LOOK_S))
