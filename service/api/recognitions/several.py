"""Several videos of one request: each admitted, decoded and recognised by itself. Knows no form and no option.

What goes wrong with one of them is its own problem, in its place in the list.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path

from fovea.answers import Problem, RecognitionAnswer, RecognitionList
from fovea.errors import FoveaError, RequestCancelled
from service.api.edge.problems import problem_of
from service.api.operation.accounting import Account
from service.api.recognitions.answers import recognition_answer
from service.engine.admission import Ticket
from service.engine.early import EarlyDecoding
from service.engine.pipeline import Pipeline
from service.engine.request import Plan, Recognition
from service.keys.spending import Spending

SIDE_BY_SIDE = 4  # videos of one request
NO_ROOM, FAILURES_FROM = 429, 500


@dataclass(frozen=True, slots=True)
class Spooled:
    """One of the videos."""

    path: Path
    upload_s: float
    early: EarlyDecoding | None = None  # what of it is decoded while it arrives


async def recognize_several(
    pipeline: Pipeline,
    videos: Sequence[Spooled],
    plan: Plan,
    first: tuple[Account, Ticket],
    spending: Spending,
    new_account: Callable[[], Account],
    request_id: str,
    *,
    no_store: bool = False,
) -> RecognitionList:
    """`first`: what the request holds for the first video already; the others get theirs in their turn."""
    await spending.reserve(plan.most_flops * len(videos))
    turn = asyncio.Semaphore(SIDE_BY_SIDE)

    def admitted() -> Ticket:
        return pipeline.admit(plan, spending.owner, spending.spend)

    async def one(number: int) -> RecognitionAnswer | Problem:
        async with turn:
            with ExitStack() as held:
                account = first[0] if number == 0 else held.enter_context(new_account())
                account.model = plan.model
                try:
                    ticket = first[1] if number == 0 else held.enter_context(admitted())
                    recognition = await _recognized(pipeline, videos[number], plan, ticket, no_store)
                except RequestCancelled:
                    raise
                except FoveaError as error:
                    account.failed(error)
                    return Problem.model_validate(problem_of(error, request_id))
                account.answered(recognition)
                spending.answered()
                return recognition_answer(recognition, pipeline.offer(plan.model))

    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(one(number)) for number in range(len(videos))]
    return RecognitionList(recognitions=[task.result() for task in asked])


def is_settled(answers: RecognitionList) -> bool:
    """Whether asking again would say the same: no video was refused for want of room, or met a failure of ours."""
    problems = [one for one in answers.recognitions if isinstance(one, Problem)]
    return not any(problem.status == NO_ROOM or problem.status >= FAILURES_FROM for problem in problems)


async def _recognized(pipeline: Pipeline, video: Spooled, plan: Plan, ticket: Ticket, no_store: bool) -> Recognition:
    asked = pipeline.recognize(video.path, plan, ticket, video.upload_s, no_store=no_store, early=video.early)
    async with aclosing(asked) as events:
        async for event in events:
            if isinstance(event, Recognition):
                return event
    raise AssertionError("the pipeline ended without an answer")
