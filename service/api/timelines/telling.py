"""A timeline's items in the API's words, one by one: for events, for one answer, for whoever works without HTTP."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import TypeAlias

from fovea.timeline_answers import Segment, TimelineAnswer, TimelineProgress
from service.api.timelines.answers import progress_event, segment_answer, timeline_answer
from service.engine.budget import Offer
from service.timelines import values
from service.timelines.plan import TimelinePlan
from service.timelines.timelines import Timelines

Told: TypeAlias = Segment | TimelineProgress | TimelineAnswer


async def tell(
    timelines: Timelines, path: Path, plan: TimelinePlan, offer: Offer, upload_s: float = 0.0, *, key: str = ""
) -> AsyncGenerator[Told, None]:
    """Segments and progress as they come; the answer, which holds the segments again, is last. `key` and errors as of
    `run`."""
    segments: list[Segment] = []
    async with aclosing(timelines.run(path, plan, key)) as items:
        async for item in items:
            match item:
                case values.Segment():
                    told = segment_answer(item, offer, top_k=plan.look.top_k, terms=plan.look.terms)
                    segments.append(told)
                    yield told
                case values.Progress():
                    yield progress_event(item)
                case values.Timeline():
                    yield timeline_answer(item, segments, offer, upload_s=upload_s)


async def last(
    timelines: Timelines, path: Path, plan: TimelinePlan, offer: Offer, upload_s: float = 0.0, *, key: str = ""
) -> TimelineAnswer:
    """The answer alone."""
    async with aclosing(tell(timelines, path, plan, offer, upload_s, key=key)) as told:
        async for item in told:
            if isinstance(item, TimelineAnswer):
                return item
    raise AssertionError("the timeline ended without an answer")
